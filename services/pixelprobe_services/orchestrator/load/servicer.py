"""LoadTestService over gRPC: validate, call, convert. Exceptions become statuses in the interceptor."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from pixelprobe_api.attack.v1 import load_test_service_pb2 as pb
from pixelprobe_api.attack.v1 import load_test_service_pb2_grpc as pb_grpc
from pixelprobe_services.common.errors import FailedPreconditionError, ResourceExhaustedError
from pixelprobe_services.common.wire import checked_digest
from pixelprobe_services.orchestrator.load.figures import PERCENTILES, Step, Window
from pixelprobe_services.orchestrator.load.plan import LoadPlan
from pixelprobe_services.orchestrator.load.run import run
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.targets.registry import Registry

MOST_AT_ONCE = 1
"""Two load tests at a time would measure each other."""

Context = grpc.aio.ServicerContext[Any, Any]
_log = logging.getLogger(__name__)


class LoadTestServicer(pb_grpc.LoadTestServiceServicer):
    """Runs load tests, one at a time, of targets for which the operator allows them."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._running = 0

    async def RunLoadTest(
        self, request: pb.RunLoadTestRequest, context: Context
    ) -> AsyncIterator[pb.RunLoadTestResponse]:
        plan = plan_from_pb(request)
        target = self._registry.get(request.target)
        if not self._registry.config(request.target).load_test:
            raise FailedPreconditionError(
                f"the operator does not allow load tests of {request.target}: the targets file must say "
                "load_test = true",
                reason="LOAD_TEST_NOT_ALLOWED",
            )
        if self._running >= MOST_AT_ONCE:
            raise ResourceExhaustedError("another load test is running; try again when it has ended")
        images = [
            await self._store.get_image(checked_digest(digest, f"image_digests[{number}]"))
            for number, digest in enumerate(request.image_digests)
        ]
        self._running += 1
        _log.info(
            "load test of %s begins: %d steps", request.target, len(plan.rates) + len(plan.concurrencies)
        )
        try:
            async with aclosing(run(target, plan, images)) as events:
                async for event in events:
                    if isinstance(event, Step):
                        yield pb.RunLoadTestResponse(step=step_to_pb(event))
                    else:
                        yield pb.RunLoadTestResponse(window=window_to_pb(*event))
        finally:
            self._running -= 1
            _log.info("load test of %s has ended", request.target)


def plan_from_pb(request: pb.RunLoadTestRequest) -> LoadPlan:
    """The plan, defaults filled in; raises InvalidArgumentError with the field that is off."""
    default = LoadPlan(rates=(1.0,))
    return LoadPlan(
        rates=tuple(request.rates),
        concurrencies=tuple(request.concurrencies),
        batch=request.batch or default.batch,
        duration_seconds=request.duration_seconds or default.duration_seconds,
        warm_up_seconds=request.warm_up_seconds,
        max_in_flight=request.max_in_flight or default.max_in_flight,
        poisson=request.poisson,
        pixels=request.pixels or default.pixels,
        seed=request.seed,
        stop_error_share=request.stop_error_share or default.stop_error_share,
    )


def window_to_pb(step: int, window: Window) -> pb.LoadWindow:
    """The message for a window of the step with that number."""
    return pb.LoadWindow(
        step=step,
        warm_up=window.warm_up,
        start_seconds=window.start,
        length_seconds=window.length,
        requests=len(window.latencies) + window.errors,
        errors=window.errors,
        in_flight=window.in_flight,
        p50_seconds=window.latencies.percentile(50),
        p99_seconds=window.latencies.percentile(99),
    )


def step_to_pb(step: Step) -> pb.LoadStep:
    """The message for a step that has ended."""
    p50, p90, p95, p99, p999 = (step.latencies.percentile(percent) for percent in PERCENTILES)
    return pb.LoadStep(
        offered_rate=step.offered,
        concurrency=step.concurrency,
        batch=step.batch,
        seconds=step.seconds,
        requests=step.requests,
        achieved_rate=step.achieved_rate,
        queries_answered=len(step.latencies) * step.batch,
        errors=step.errors,
        latency=pb.LatencySeconds(
            mean=step.latencies.mean,
            p50=p50,
            p90=p90,
            p95=p95,
            p99=p99,
            p999=p999,
            max=step.latencies.highest,
        ),
        histogram=step.latencies.encoded(),
        schedule_delay_p99_seconds=step.delays.percentile(99),
        cpu_share=step.cpu_share,
        bytes_sent=step.bytes_sent,
        bytes_received=step.bytes_received,
        longest_retry_after_seconds=step.longest_retry_after,
        achieved=step.achieved,
        reason=step.reason,
    )
