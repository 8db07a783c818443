"""How fast and in what pieces one target takes requests: rate limits, back-off, and the size that is in time.

Each target has one of each, shared by all attacks on it, for as long as the process lives. Times are in
seconds; the clock and the sleep can be replaced, so that tests need not wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.orchestrator.targets.base import RejectedError, TargetUnavailableError

LONGEST_WAIT = 30.0
"""A target that asks for a longer pause than this is not waited for here: its campaigns wait instead."""

MOST_SECONDS = 7 * 86_400.0
"""A target that asks for more is asked again after this long."""

JITTER = 0.25
"""A pause is longer than asked for by up to this share, so that clients do not come back all at once."""

GROW_AFTER = 16
"""So many full requests answered in a row before a larger one is tried; twice as many after each failure."""

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class RateLimiter:
    """A token bucket that holds requests to ``rate`` units a second; a unit is a query, or a request.

    In no second are more than ``rate`` units sent and one request's units over that. While there is work the
    rate is kept up: a sleep that ended late is made up for, by :data:`CATCH_UP` at most.

    Example:
        >>> limiter = RateLimiter(rate=100.0)
        >>> await limiter.acquire(40)  # at once
        >>> await limiter.acquire(40)  # 0.4 s later
    """

    CATCH_UP = 0.25

    def __init__(self, rate: float, now: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        if not rate > 0:
            raise ValueError(f"a rate of {rate} a second")
        self.rate = rate
        self._now = now
        self._sleep = sleep
        self._next = now()
        self._last_second: deque[tuple[float, int]] = deque()
        self._in_last_second = 0
        self._turn = asyncio.Lock()

    async def acquire(self, units: int) -> None:
        """Wait until ``units`` more may be sent, first come, first served."""
        async with self._turn:
            while (pause := self._pause()) > 0:
                await self._sleep(pause)
            now = self._now()
            self._next = max(self._next, now - self.CATCH_UP) + units / self.rate
            self._last_second.append((now, units))
            self._in_last_second += units

    def _pause(self) -> float:
        now = self._now()
        while self._last_second and now - self._last_second[0][0] >= 1:
            self._in_last_second -= self._last_second.popleft()[1]
        pause = self._next - now
        if self._in_last_second > self.rate:  # only after catching up
            pause = max(pause, self._last_second[0][0] + 1 - now)
        return pause


class Gate:
    """Holds back all requests to a target that turned one away, for as long as it asks.

    While it does, requests go one at a time: the first that is answered opens the gate for all.

    Attributes:
        waiting_for: what the target is waited for, for people; empty while the gate is open.
    """

    def __init__(self, retry: RetryPolicy, now: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._retry = retry
        self._now = now
        self._sleep = sleep
        self._rejections = 0  # since the last answer
        self._until = 0.0
        self._until_clock = datetime.now(UTC)
        self._asked = False  # the target named the pause itself
        self._turn = asyncio.Lock()
        self.waiting_for = ""

    @property
    def is_open(self) -> bool:
        """Whether requests may go side by side."""
        return not self._rejections

    @asynccontextmanager
    async def turn(self, check: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
        """Around one request: waits until it may be sent.

        Args:
            check: asks whether the target is ready, where it did not say when it will be; costs no query.

        Raises:
            RejectedError: the pause is too long to be waited for here, or there were too many in a row.
        """
        if not self.is_open:
            async with self._turn:
                if await self._is_probe(check):
                    yield
                    return
        yield

    async def _is_probe(self, check: Callable[[], Awaitable[object]]) -> bool:
        """Wait until the target may be asked again; False where the gate was opened meanwhile."""
        while not self.is_open:
            self.require_patience()
            if (pause := self._until - self._now()) > 0:
                await self._sleep(pause)
                continue
            if self._asked:
                return True
            try:
                await check()
            except TargetUnavailableError as error:
                self.rejected(error)
            else:
                return True
        return False

    def require_patience(self) -> None:
        """See that the target can be asked soon.

        Raises:
            RejectedError: not before long; ``retry_after_seconds`` says when.
        """
        left = self._until - self._now()
        if left > LONGEST_WAIT or (left > 0 and self._rejections >= self._retry.attempts):
            again = (
                f"it is asked again at {self._until_clock:%H:%M:%S} UTC"
                if self._asked
                else f"gave up after {self._rejections} attempts"
            )
            raise RejectedError(
                f"{self.waiting_for} ({again})", retry_after_seconds=left if self._asked else None
            )

    def rejected(self, error: TargetUnavailableError) -> None:
        """Close the gate, for as long as ``error`` asks or else for longer each time."""
        asked = error.retry_after_seconds if isinstance(error, RejectedError) else None
        self._rejections += 1
        self.waiting_for = error.message
        self._asked = asked is not None
        if asked is None:
            doublings = min(self._rejections - 1, 32)
            pause = min(self._retry.first_pause * 2**doublings, self._retry.longest_pause)
        else:
            pause = min(max(asked, self._retry.first_pause), MOST_SECONDS)
        pause *= 1 + JITTER * random.random()  # noqa: S311 - no secret
        if self._now() + pause > self._until:
            self._until = self._now() + pause
            self._until_clock = datetime.now(UTC) + timedelta(seconds=min(pause, MOST_SECONDS))

    def answered(self) -> None:
        """Open the gate."""
        self._rejections = 0
        self._until = 0.0
        self.waiting_for = ""


class RequestSize:
    """The most queries that a request may hold so that the target answers in time.

    Halved when a request is not answered in time; grown by a quarter after :data:`GROW_AFTER` full requests
    in a row were. Each growth that turns out too large doubles that number.

    Attributes:
        limit: queries.
    """

    def __init__(self, most: int) -> None:
        self.limit = most
        self._most = most
        self._patience = GROW_AFTER
        self._in_time = 0
        self._has_grown = False

    def timed_out(self, queries: int) -> None:
        """A request of so many queries was not answered in time."""
        smaller = max(1, queries // 2)
        if smaller < self.limit:
            self.limit = smaller
            if self._has_grown:
                self._patience = min(2 * self._patience, 1024)
                self._has_grown = False
        self._in_time = 0

    def answered(self, queries: int) -> None:
        """A request of so many queries was answered in time."""
        if self.limit >= self._most or queries < self.limit:
            return
        self._in_time += 1
        if self._in_time >= self._patience:
            self.limit = min(self._most, self.limit + max(1, self.limit // 4))
            self._in_time = 0
            self._has_grown = True
