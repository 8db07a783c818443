"""Prometheus metrics of the orchestrator: queries, attacks, campaigns, the store.

A request of many queries increments each counter once, so that a query costs nothing. Counters hold what this
process did: what is repeated after a crash counts again, as in the ledger. Without a registry nothing is
exposed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pixelprobe_services.common.values import CampaignState, Fate, Outcome, Region

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
FILL = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class LimitedBudget(Protocol):
    """What is read of a :class:`~pixelprobe_services.orchestrator.query.budget.Budget`."""

    limit: int | None

    @property
    def sent(self) -> int:
        """Queries taken so far."""


class TargetMetrics:
    """Metrics of one target."""

    def __init__(self, metrics: OrchestratorMetrics, target: str) -> None:
        self._fates = metrics.fates
        self._target = target
        for fate in Fate:
            metrics.fates.labels(target, fate.value)
        self._sent = metrics.sent.labels(target)
        self.retried = metrics.retried.labels(target)
        self.skipped = metrics.skipped.labels(target)
        self.repeated = metrics.repeated.labels(target)
        self.fill = metrics.fill.labels(target)
        self._in_flight = metrics.requests_in_flight.labels(target)
        self._seconds = metrics.request_seconds.labels(target)
        self._requests = {
            result: metrics.requests.labels(target, result)
            for result in ("answered", "unavailable", "refused")
        }

    def settled(self, queries: int, fate: Fate) -> None:
        """Count queries of a request that ended; those that were rejected are not among those sent."""
        self._fates.labels(self._target, fate.value).inc(queries)
        if fate is not Fate.REJECTED:
            self._sent.inc(queries)

    @contextlib.contextmanager
    def request(self, unavailable: type[Exception], refused: type[Exception]) -> Iterator[None]:
        """Count a request by the exception it raises, if any; a cancelled one is not counted."""
        start = time.perf_counter()
        self._in_flight.inc()
        try:
            yield
        except unavailable:
            self._ended("unavailable", start)
            raise
        except refused:
            self._ended("refused", start)
            raise
        else:
            self._ended("answered", start)
        finally:
            self._in_flight.dec()

    def _ended(self, result: str, start: float) -> None:
        self._requests[result].inc()
        self._seconds.observe(time.perf_counter() - start)


class OrchestratorMetrics:
    """All metrics, in one registry.

    >>> metrics = OrchestratorMetrics(new_registry("orchestrator"))
    >>> metrics.of_target("resnet50").sent.inc(40)
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        self.sent = counter(
            "pixelprobe_target_queries_sent",
            "Queries sent, each time they were: the ledger's count.",
            "target",
        )
        self.fates = counter(
            "pixelprobe_target_queries_settled", "Queries by what became of them.", "target", "fate"
        )
        self.retried = counter(
            "pixelprobe_target_queries_retried", "Queries of those sent that went out again.", "target"
        )
        self.skipped = counter(
            "pixelprobe_target_queries_skipped",
            "Candidates not sent because nothing of them was left in the region.",
            "target",
        )
        self.repeated = counter(
            "pixelprobe_target_queries_repeated", "Candidates answered from the attack's memory.", "target"
        )
        self.requests = counter(
            "pixelprobe_target_requests", "Requests to the target that ended.", "target", "result"
        )
        self.requests_in_flight = gauge(
            "pixelprobe_target_requests_in_flight", "Requests to the target under way.", "target"
        )
        self.request_seconds = histogram(
            "pixelprobe_target_request_seconds", "How long a request took.", REQUEST_SECONDS, "target"
        )
        self.fill = histogram(
            "pixelprobe_target_batch_fill", "Queries in a request, of the most that fit one.", FILL, "target"
        )
        self.attacks_ended = counter(
            "pixelprobe_attacks",
            "Attacks that ended here; those cancelled before they ran are not counted.",
            "target",
            "region",
            "outcome",
        )
        self.attacks_in_flight = gauge("pixelprobe_attacks_in_flight", "Attacks under way here.")
        self._campaigns = gauge("pixelprobe_campaigns", "Campaigns in the store.", "state")
        self.campaigns_stalled = gauge(
            "pixelprobe_campaigns_stalled",
            "Campaigns that wait here: for the store, a target, masks, or a new day.",
        )
        self._store_seconds = histogram(
            "pixelprobe_store_operation_seconds", "How long the store took.", STORE_SECONDS, "operation"
        )
        self._store_failures = counter(
            "pixelprobe_store_failures", "Times that the store could not do its work.", "operation"
        )
        self._budgets: set[LimitedBudget] = set()
        gauge(
            "pixelprobe_budget_queries_limit", "What running attacks that have a budget may send in all."
        ).set_function(lambda: sum(budget.limit or 0 for budget in tuple(self._budgets)))
        gauge("pixelprobe_budget_queries_left", "What is left of that.").set_function(
            lambda: sum(max(0, (budget.limit or 0) - budget.sent) for budget in tuple(self._budgets))
        )

    def of_target(self, name: str) -> TargetMetrics:
        """Return the metrics of a target of the operator's; they are exposed as 0 from now on."""
        return TargetMetrics(self, name)

    @contextlib.contextmanager
    def spending(self, budget: LimitedBudget) -> Iterator[None]:
        """Expose what is left of ``budget`` while an attack runs on it."""
        if budget.limit is None:
            yield
            return
        self._budgets.add(budget)
        try:
            yield
        finally:
            self._budgets.discard(budget)

    def attack_ended(self, target: str, region: Region, outcome: Outcome) -> None:
        """Count an attack that has a result."""
        self.attacks_ended.labels(target, region.value, outcome.value).inc()

    def count_campaigns(self, by_state: Mapping[CampaignState, int], waiting: int = 0) -> None:
        """Set the numbers of campaigns in the store; states not named have none.

        ``waiting``: how many of the running ones wait here, which the store does not know.
        """
        counts = {state: by_state.get(state, 0) for state in CampaignState}
        waiting = min(waiting, counts[CampaignState.RUNNING])
        counts[CampaignState.RUNNING] -= waiting
        counts[CampaignState.WAITING] += waiting
        for state, count in counts.items():
            self._campaigns.labels(state.value).set(count)

    @contextlib.contextmanager
    def store_operation(self, name: str, failure: type[Exception]) -> Iterator[None]:
        """Time an operation of the store; ``failure`` raised within counts as a failure."""
        start = time.perf_counter()
        try:
            yield
        except failure:
            self._store_failures.labels(name).inc()
            raise
        finally:
            self._store_seconds.labels(name).observe(time.perf_counter() - start)

    def expect_store_operation(self, name: str) -> None:
        """Expose its failures as 0, so that the first one is a change."""
        self._store_failures.labels(name)
