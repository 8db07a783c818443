"""Executor of a campaign's attacks in this process, many at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager

from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import ServiceError, UnavailableError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import AttackResult, AttackState, MaskArray, Outcome
from pixelprobe_services.orchestrator.attacks.masks import MaskSource, MaskUnavailableError
from pixelprobe_services.orchestrator.attacks.resources import OutOfResourcesError, resources_named
from pixelprobe_services.orchestrator.attacks.run import AttackRun, Progress
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.waiting import Patience, asks_to_wait
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError, StoreError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.timing import Timing
from pixelprobe_services.server.logs import about

TRACED_ATTACKS = 32
"""About this many of a campaign's attacks, evenly spread, have spans of their own and of their requests."""

log = logging.getLogger(__name__)

MASKS = "masks"
"""Name of the segmentation service, beside the targets' names, where patience is counted."""


class LocalExecutor:
    """Runs at most ``attacks_in_flight`` attacks at once, over all campaigns.

    >>> executor = LocalExecutor(store, masks, pool, EventHub(), attacks_in_flight=32)
    >>> await executor.run_campaign(record.id)
    """

    def __init__(
        self,
        store: Store,
        masks: MaskSource,
        batchers: BatcherPool,
        events: EventHub,
        *,
        attacks_in_flight: int = 32,
        patience: Patience | None = None,
        metrics: OrchestratorMetrics | None = None,
        timing: Timing | None = None,
    ) -> None:
        self._timing = timing or Timing()
        self._patience = patience or Patience()
        self._store = store
        self._masks = masks
        self._batchers = batchers
        self._events = events
        self._attacks_in_flight = attacks_in_flight
        self._metrics = metrics or OrchestratorMetrics()
        self._slots = asyncio.Semaphore(attacks_in_flight)
        self._cancelled: set[str] = set()

    async def run_campaign(self, campaign_id: str) -> None:
        """Run attacks until none is left to claim; other orchestrators may still run some.

        When this is cancelled, running attacks are checkpointed and released.

        Raises:
            StoreError: the store failed. Running attacks ended and can be claimed again once it works.
            UnavailableError: a target or the segmentation service does not answer, and there is patience
                left, or this machine is out of resources. Running attacks were checkpointed and released.
        """
        spec = (await self._store.get_campaign(campaign_id)).spec
        try:
            claiming = asyncio.Lock()
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._attacks_in_flight, spec.attack_count)):
                    workers.create_task(self._work(campaign_id, spec, claiming))
        except BaseExceptionGroup as failures:
            transient, others = failures.split((StoreError, UnavailableError))
            if transient is None or others is not None:
                raise
            raise transient.exceptions[0] from failures

    async def cancel_campaign(self, campaign_id: str, running: asyncio.Task[None] | None) -> None:
        """End ``running``, a task of :meth:`run_campaign`; all unfinished attacks become CANCELLED.

        Attacks that run here keep what they have found; those that run elsewhere lose their lease.

        Raises:
            ConflictError: the campaign is not cancelled any more.
        """
        self._cancelled.add(campaign_id)
        try:
            if running is not None:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            await self._store.cancel_attacks(campaign_id)
        finally:
            self._cancelled.discard(campaign_id)

    async def _work(self, campaign_id: str, spec: CampaignSpec, claiming: asyncio.Lock) -> None:
        """Run one attack after another until none is left.

        The task that claims an attack also runs it, and has its slot before: neither is lost, whenever the
        task is cancelled. Claims are made one at a time: the store hands out again what was claimed here by
        a call that never returned, and could not distinguish such an attack from one that is being claimed.
        """
        while True:
            async with self._slots:
                async with claiming:
                    record = await self._store.claim_attack(campaign_id)
                if record is None:
                    return
                with about(campaign_id, record.id.number), _span(record, spec):
                    await self._run_or_release(record, spec)

    async def _run_or_release(self, record: AttackRecord, spec: CampaignSpec) -> None:
        try:
            with self._metrics.attacks_in_flight.track_inprogress():
                await self._run_attack(record, spec)
        except LeaseLostError:
            log.info("attack %s runs elsewhere now, or has ended", record.id)
        except (asyncio.CancelledError, StoreError, UnavailableError):
            await self._release(record)
            raise

    async def _release(self, record: AttackRecord) -> None:
        try:
            await self._store.release_attack(record.id)
        except LeaseLostError:
            log.info("attack %s runs elsewhere now, or has ended", record.id)
        except StoreError as error:
            log.warning("attack %s was not released and is continued later: %s", record.id, error.message)

    async def _run_attack(self, record: AttackRecord, spec: CampaignSpec) -> None:
        run: AttackRun | None = None
        try:
            with resources_named():
                batcher = await self._batchers.get(record.key.target)
                run = AttackRun(
                    record,
                    spec,
                    store=self._store,
                    masks=self._masks,
                    batcher=batcher,
                    on_progress=lambda progress: self._on_progress(record, run, progress),
                    metrics=self._metrics,
                    save_seconds=self._timing.save,
                )
                result = await run.execute()
        except (asyncio.CancelledError, Exception) as error:
            ended = await self._result_after(error, record, run)
            if ended is None:
                raise
            result = ended
        await self._finish(record, result, run.mask if run else None)

    async def _result_after(
        self, error: BaseException, record: AttackRecord, run: AttackRun | None
    ) -> AttackResult | None:
        """Return the result of an attack that raised; None where it is to be continued later."""
        match error:
            case asyncio.CancelledError():
                await self._save(run, record)
                is_over = record.id.campaign_id in self._cancelled
                return _result(run, Outcome.CANCELLED) if is_over else None
            case StoreError() | LeaseLostError():
                return None
            case DayUsedUpError() | OutOfResourcesError():
                await self._save(run, record)
                return None
            case UnavailableError():
                if asks_to_wait(error) or self._patience.is_left(_away(error, record)):
                    await self._save(run, record)
                    return None
                return _result(run, Outcome.ERROR, error.message)
            case TargetError():
                return AttackResult(Outcome.ERROR, reason=error.message)
            case ServiceError():
                log.error("attack %s: %s", record.id, error.message)
                return AttackResult(Outcome.ERROR, reason=error.message)
            case _:
                # A bug in one attack must not end the others; the log has the traceback.
                log.error("attack %s failed unexpectedly", record.id, exc_info=error)
                reason = "internal error; the orchestrator's log has details"
                return AttackResult(Outcome.ERROR, reason=reason)

    def _on_progress(self, record: AttackRecord, run: AttackRun | None, progress: Progress) -> None:
        if not progress.waiting_for:
            self._patience.answered(record.key.target)
        if run is not None and run.mask is not None:
            self._patience.answered(MASKS)
        self._events.progress(record.id, progress)

    async def _save(self, run: AttackRun | None, record: AttackRecord) -> None:
        if run is None:
            return
        try:
            await run.save()
        except StoreError as error:
            log.warning("attack %s continues from an earlier checkpoint: %s", record.id, error.message)

    async def _finish(self, record: AttackRecord, result: AttackResult, mask: MaskArray | None) -> None:
        finished = await self._store.finish_attack(record.id, result, mask)
        if finished.state is not AttackState.FINISHED:
            log.info("attack %s is pending again: its campaign was resumed", record.id)
            return
        tracing.note("pixelprobe.outcome", result.outcome.value)
        tracing.note("pixelprobe.queries", result.ledger.sent)
        _log_end(record, result)
        self._metrics.attack_ended(record.key.target, record.key.region, result.outcome)
        self._events.notify(record.id.campaign_id)


def _result(run: AttackRun | None, outcome: Outcome, reason: str = "") -> AttackResult:
    """What ``run`` has found so far, as a result."""
    return run.result(outcome, reason) if run else AttackResult(outcome, reason)


def _log_end(record: AttackRecord, result: AttackResult) -> None:
    ledger = result.ledger
    log.info(
        "attack %s on %s: %s; queries: %d sent, %d answered, %d timed out, %d rejected, %d retries%s",
        record.id.number,
        record.key.target,
        result.outcome.value,
        ledger.sent,
        ledger.answered or 0,
        ledger.timed_out,
        ledger.rejected,
        ledger.retries,
        f"; {result.reason}" if result.reason else "",
    )


def _away(error: UnavailableError, record: AttackRecord) -> str:
    """The name, in counting patience, of what did not answer."""
    return MASKS if isinstance(error, MaskUnavailableError) else record.key.target


def _span(record: AttackRecord, spec: CampaignSpec) -> AbstractContextManager[object]:
    """Span of an attack, under the call that started the campaign if this process received it."""
    if record.id.number % max(1, spec.attack_count // TRACED_ATTACKS):
        return tracing.untraced()
    return tracing.span(
        "attack",
        pixelprobe__campaign=record.id.campaign_id,
        pixelprobe__attack=record.id.number,
        pixelprobe__target=record.key.target,
        pixelprobe__region=record.key.region.value,
        pixelprobe__pixels=record.key.pixels,
    )
