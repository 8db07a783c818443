"""Load tests over gRPC: one on its own, and the search for the highest rate within limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pixelprobe.api import PixelprobeClient
from pixelprobe.load.limits import Limit
from pixelprobe.load.values import Latency, LoadEvent, LoadSpec, LoadStep, LoadWindow
from pixelprobe_api.attack.v1 import load_test_service_pb2 as pb

SLACK_SECONDS = 120.0
"""Beyond a test's own length: for the last answers, and a slow start."""
SEARCH_STEPS = 7
"""Halvings of the interval between a rate that held and one that did not: to 1% of it."""
HIGHEST_RATE = 20_000.0


def run_load_test(client: PixelprobeClient, spec: LoadSpec) -> Iterator[LoadEvent]:
    """Run a test; closing the iterator cancels it on the server.

    Raises:
        FailedPreconditionError: the operator does not allow load tests of the target.
        InvalidArgumentError: the spec is off; ``field`` names where.
        NotFoundError: an unknown target, or an image that was not uploaded.
        ResourceExhaustedError: another test is running.
    """
    steps = len(spec.rates) + len(spec.concurrencies)
    seconds = steps * (spec.duration_seconds + spec.warm_up_seconds) + SLACK_SECONDS
    for response in client.stream_load_test(_request(spec), seconds):
        if response.WhichOneof("event") == "window":
            yield _window(response.window)
        elif response.WhichOneof("event") == "step":
            yield _step(response.step)


def highest_rate(
    run: Callable[[float], LoadStep], first: float, limits: Sequence[Limit]
) -> tuple[float | None, list[LoadStep]]:
    """Find the highest rate at which no limit is broken: doubling from ``first``, then halving the interval.

    Args:
        run: measures one rate.
        first: requests a second to begin with.
        limits: what must hold; the rate itself must be held, too.

    Returns:
        The highest rate that held, None if not even the lowest did; and all steps in the order they ran.
    """

    def holds(rate: float) -> bool:
        steps.append(run(rate))
        return steps[-1].achieved and not any(limit.broken(steps[-1]) for limit in limits)

    steps: list[LoadStep] = []
    low, high = 0.0, first
    while high <= HIGHEST_RATE and holds(high):
        low, high = high, 2 * high
    for _ in range(SEARCH_STEPS):
        middle = (low + high) / 2
        if middle > HIGHEST_RATE:
            high = middle
        elif holds(middle):
            low = middle
        else:
            high = middle
    return low or None, steps


def one_rate(
    client: PixelprobeClient, spec: LoadSpec, on_event: Callable[[LoadEvent], None]
) -> Callable[[float], LoadStep]:
    """A function that measures one rate by ``spec``, for :func:`highest_rate`."""

    def run(rate: float) -> LoadStep:
        found: LoadStep | None = None
        for event in run_load_test(client, replace(spec, rates=(rate,), concurrencies=())):
            on_event(event)
            if isinstance(event, LoadStep):
                found = event
        assert found is not None, "a test that ends well has its step"
        return found

    return run


def _request(spec: LoadSpec) -> pb.RunLoadTestRequest:
    return pb.RunLoadTestRequest(
        target=spec.target,
        image_digests=spec.image_digests,
        rates=spec.rates,
        concurrencies=spec.concurrencies,
        batch=spec.batch,
        duration_seconds=spec.duration_seconds,
        warm_up_seconds=spec.warm_up_seconds,
        max_in_flight=spec.max_in_flight,
        poisson=spec.poisson,
        pixels=spec.pixels,
        seed=spec.seed,
        stop_error_share=spec.stop_error_share,
    )


def _window(message: pb.LoadWindow) -> LoadWindow:
    return LoadWindow(
        step=message.step,
        warm_up=message.warm_up,
        start_seconds=message.start_seconds,
        length_seconds=message.length_seconds,
        requests=message.requests,
        errors=message.errors,
        in_flight=message.in_flight,
        p50=message.p50_seconds,
        p99=message.p99_seconds,
    )


def _step(message: pb.LoadStep) -> LoadStep:
    latency = message.latency
    return LoadStep(
        offered_rate=message.offered_rate,
        concurrency=message.concurrency,
        batch=message.batch,
        seconds=message.seconds,
        requests=message.requests,
        achieved_rate=message.achieved_rate,
        queries_answered=message.queries_answered,
        errors=dict(message.errors),
        latency=Latency(
            latency.mean, latency.p50, latency.p90, latency.p95, latency.p99, latency.p999, latency.max
        ),
        histogram=message.histogram,
        schedule_delay_p99=message.schedule_delay_p99_seconds,
        cpu_share=message.cpu_share,
        bytes_sent=message.bytes_sent,
        bytes_received=message.bytes_received,
        longest_retry_after=message.longest_retry_after_seconds,
        achieved=message.achieved,
        reason=message.reason,
    )
