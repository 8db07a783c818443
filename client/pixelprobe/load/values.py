"""A load test as the client sees it: what is asked for, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LoadSpec:
    """A load test; either ``rates`` (open loop, requests a second) or ``concurrencies`` (closed loop)."""

    target: str
    image_digests: tuple[str, ...]
    rates: tuple[float, ...] = ()
    concurrencies: tuple[int, ...] = ()
    batch: int = 1
    duration_seconds: float = 10.0
    warm_up_seconds: float = 0.0
    max_in_flight: int = 1_000
    poisson: bool = False
    pixels: int = 1
    seed: int = 0
    stop_error_share: float = 0.5


@dataclass(frozen=True)
class LoadWindow:
    """About a second of the step with that number, from 0. ``p50`` and ``p99`` are in seconds."""

    step: int
    warm_up: bool
    start_seconds: float
    length_seconds: float
    requests: int
    errors: int
    in_flight: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return (self.requests - self.errors) / self.length_seconds if self.length_seconds else 0.0


@dataclass(frozen=True)
class Latency:
    """Of answered requests, in seconds; 0 where none was answered."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float


@dataclass(frozen=True)
class LoadStep:
    """One rate or one concurrency, warm-up not included; see ``load_test_service.proto``."""

    offered_rate: float
    concurrency: int
    batch: int
    seconds: float
    requests: int
    achieved_rate: float
    queries_answered: int
    errors: Mapping[str, int]
    latency: Latency
    histogram: str
    schedule_delay_p99: float
    cpu_share: float
    bytes_sent: int
    bytes_received: int
    longest_retry_after: float
    achieved: bool
    reason: str

    @property
    def error_share(self) -> float:
        """Failed requests of all."""
        return sum(self.errors.values()) / self.requests if self.requests else 0.0

    @property
    def name(self) -> str:
        """The step in words."""
        return f"{self.offered_rate:g}/s" if self.offered_rate else f"{self.concurrency} at a time"


LoadEvent = LoadWindow | LoadStep
