"""What a load test measures: counts and latencies of a window of about a second, and of a whole step."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

HIGHEST_MICROSECONDS = 3_600_000_000
DIGITS = 3
"""Latencies are kept to three significant digits."""
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
RATE_TOLERANCE = 0.05
BUSY = 0.9
"""Share of a core from which on the orchestrator itself may be the bottleneck."""


class Latencies:
    """An HdrHistogram of seconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(1, HIGHEST_MICROSECONDS, DIGITS)

    def record(self, seconds: float) -> None:
        """Count one latency; below a microsecond counts as one."""
        self._histogram.record_value(min(max(1, round(seconds * 1e6)), HIGHEST_MICROSECONDS))

    def percentile(self, percent: float) -> float:
        """In seconds; 0 where nothing was recorded."""
        return float(self._histogram.get_value_at_percentile(percent)) / 1e6 if len(self) else 0.0

    @property
    def mean(self) -> float:
        """In seconds; 0 where nothing was recorded."""
        return float(self._histogram.get_mean_value()) / 1e6 if len(self) else 0.0

    @property
    def highest(self) -> float:
        """In seconds, to three digits; 0 where nothing was recorded."""
        return float(self._histogram.get_max_value()) / 1e6 if len(self) else 0.0

    def __len__(self) -> int:
        return int(self._histogram.get_total_count())

    def encoded(self) -> str:
        """Base64 of HdrHistogram's V2 encoding, in microseconds."""
        return bytes(self._histogram.encode()).decode("ascii")


@dataclass
class Window:
    """About a second of a step.

    Attributes:
        start: seconds since the step began.
        latencies: of answered requests.
        errors: of requests that failed.
    """

    start: float
    warm_up: bool
    latencies: Latencies = field(default_factory=Latencies)
    errors: int = 0
    length: float = 0.0
    in_flight: int = 0


@dataclass
class Step:
    """One rate or one concurrency, warm-up not included.

    Attributes:
        offered: requests a second that were scheduled; 0 in a closed loop.
        concurrency: of a closed loop; 0 in an open one.
        latencies: of answered requests, from the scheduled start in an open loop.
        delays: how much later than scheduled requests were started.
        errors: failed requests by kind.
        seconds: from the first start to the last end.
        reason: why the offered rate was not held, or why the test ended here; empty otherwise.
    """

    offered: float = 0.0
    concurrency: int = 0
    batch: int = 1
    latencies: Latencies = field(default_factory=Latencies)
    delays: Latencies = field(default_factory=Latencies)
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    longest_retry_after: float = 0.0
    reason: str = ""

    @property
    def requests(self) -> int:
        """Requests that ended, well or badly."""
        return len(self.latencies) + self.errors.total()

    @property
    def achieved_rate(self) -> float:
        """Answered requests a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def error_share(self) -> float:
        """Failed requests of all."""
        return self.errors.total() / self.requests if self.requests else 0.0

    @property
    def cpu_share(self) -> float:
        """CPU that this process used, of one core."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0

    @property
    def achieved(self) -> bool:
        """Whether the load was what was asked for."""
        return not self.reason

    def judge(self) -> None:
        """Fill in ``reason`` where the offered rate was not held, naming the bottleneck where it is known."""
        if self.reason or not self.offered or self.achieved_rate >= (1 - RATE_TOLERANCE) * self.offered:
            return
        text = f"{self.achieved_rate:.1f} of {self.offered:g} requests a second were answered"
        if self.cpu_share > BUSY:
            text += f"; the orchestrator used {self.cpu_share:.0%} of a core and may itself be the bottleneck"
        elif self.errors:
            kind, count = self.errors.most_common(1)[0]
            text += f"; {count} of {self.requests} requests were {kind.replace('_', ' ')}"
        self.reason = text
