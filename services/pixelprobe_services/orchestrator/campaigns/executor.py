"""Runs a campaign's attacks in this process, many at a time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractContextManager

from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import ServiceError, UnavailableError
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import AttackResult, MaskArray, Outcome
from pixelprobe_services.orchestrator.attacks.masks import MaskSource, MaskUnavailableError
from pixelprobe_services.orchestrator.attacks.run import AttackRun, Progress
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.waiting import Patience
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError, StoreError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.timing import Timing
from pixelprobe_services.server.logs import about

TRACED_ATTACKS = 32
"""About so many of a campaign's attacks, evenly spread, have spans of their own and of their requests."""

log = logging.getLogger(__name__)

MASKS = "masks"
"""What the segmentation service is called where patience is counted, beside the targets' names."""


class LocalExecutor:
    """At most ``attacks_in_flight`` attacks at once, over all campaigns."""

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
        """Run attacks until none is left to claim; others may still run some.

        When it is cancelled, attacks under way are checkpointed and given back to the store as pending.

        Raises:
            StoreError: the store failed. Attacks under way ended and can be claimed again once it works.
            UnavailableError: a target or the segmentation service does not answer, and there is patience
                left. Attacks under way were checkpointed and can be claimed again.
        """
        spec = (await self._store.get_campaign(campaign_id)).spec
        try:
            claiming = asyncio.Lock()
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._attacks_in_flight, spec.attack_count)):
                    workers.create_task(self._work(campaign_id, spec, claiming))
        except BaseExceptionGroup as failures:
            passing, others = failures.split((StoreError, UnavailableError))
            if passing is None or others is not None:
                raise
            raise passing.exceptions[0] from failures

    async def cancel_campaign(self, campaign_id: str, running: asyncio.Task[None] | None) -> None:
        """End ``running``, a task of :meth:`run_campaign`; all attacks not yet finished are CANCELLED.

        Those that run here finish with what they have found; those that run elsewhere are taken away.
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
        """Take one attack after another until none is left.

        The task that claims an attack is the one that runs it, and has its slot before: whenever it is
        cancelled, neither is lost. Claims wait for each other, because the store takes an attack that it
        knows to be claimed here, by a call that never came back, for one that was forgotten.
        """
        while True:
            async with self._slots:
                async with claiming:
                    record = await self._store.claim_attack(campaign_id)
                if record is None:
                    return
                with about(campaign_id, record.id.number), _span(record, spec):
                    await self._run_or_give_back(record, spec)

    async def _run_or_give_back(self, record: AttackRecord, spec: CampaignSpec) -> None:
        try:
            with self._metrics.attacks_in_flight.track_inprogress():
                await self._run_attack(record, spec)
        except LeaseLostError:
            log.info("attack %s runs elsewhere by now, or has ended", record.id)
        except (asyncio.CancelledError, StoreError, UnavailableError):
            await self._give_back(record)
            raise

    async def _give_back(self, record: AttackRecord) -> None:
        try:
            await self._store.release_attack(record.id)
        except LeaseLostError:
            log.info("attack %s runs elsewhere by now, or has ended", record.id)
        except StoreError as error:
            log.warning("attack %s was not given back, and goes on later: %s", record.id, error.message)

    async def _run_attack(self, record: AttackRecord, spec: CampaignSpec) -> None:
        run: AttackRun | None = None
        try:
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
        except asyncio.CancelledError:
            if run is not None:
                await self._save(run, record)
            if record.id.campaign_id not in self._cancelled:
                raise
            result = run.result(Outcome.CANCELLED) if run else AttackResult(Outcome.CANCELLED)
        except DayUsedUpError:
            if run is not None:
                await self._save(run, record)  # the store works, and tomorrow's queries are for new questions
            raise
        except (LeaseLostError, StoreError):
            raise
        except UnavailableError as error:
            if self._patience.is_left(_away(error, record)):
                if run is not None:
                    await self._save(run, record)
                raise
            result = (
                run.result(Outcome.ERROR, error.message)
                if run
                else AttackResult(Outcome.ERROR, error.message)
            )
        except TargetError as error:
            result = AttackResult(Outcome.ERROR, reason=error.message)
        except ServiceError as error:
            log.error("attack %s: %s", record.id, error.message)
            result = AttackResult(Outcome.ERROR, reason=error.message)
        except Exception:
            # A bug in one attack must not take the others with it; the log has the traceback.
            log.exception("attack %s failed unexpectedly", record.id)
            result = AttackResult(Outcome.ERROR, reason="internal error; the orchestrator's log has details")
        await self._finish(record, result, run.mask if run else None)

    def _on_progress(self, record: AttackRecord, run: AttackRun | None, progress: Progress) -> None:
        self._patience.answered(record.key.target)
        if run is not None and run.mask is not None:
            self._patience.answered(MASKS)
        self._events.progress(record.id, progress)

    async def _save(self, run: AttackRun, record: AttackRecord) -> None:
        try:
            await run.save()
        except StoreError as error:
            log.warning("attack %s goes on from an earlier checkpoint: %s", record.id, error.message)

    async def _finish(self, record: AttackRecord, result: AttackResult, mask: MaskArray | None) -> None:
        await self._store.finish_attack(record.id, result, mask)
        tracing.note("pixelprobe.outcome", result.outcome.value)
        tracing.note("pixelprobe.queries", result.ledger.sent)
        self._metrics.attack_ended(record.key.target, record.key.region, result.outcome)
        self._events.notify(record.id.campaign_id)


def _away(error: UnavailableError, record: AttackRecord) -> str:
    """The name, in counting patience, of what did not answer."""
    return MASKS if isinstance(error, MaskUnavailableError) else record.key.target


def _span(record: AttackRecord, spec: CampaignSpec) -> AbstractContextManager[object]:
    """Of an attack: under the call that started the campaign, if that was by a call and in this process."""
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
