"""Watch campaigns that run on the server: progress, rate and the time that is left."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.cost import campaign_cost
from pixelprobe.cli.console import safe
from pixelprobe.cli.progress import PLAIN_SECONDS
from pixelprobe.model import Campaign
from pixelprobe.results.captions import count, describe_trouble
from pixelprobe_services.common.errors import UnavailableError

POLL_SECONDS = 1.0
POLL_SHARE = 0.02
"""Asking takes no more than this share of the time, however long an answer takes."""

PATIENCE_SECONDS = 600.0
"""Watching ends when the orchestrator is away for longer than this, say while it is started again."""

RATE_SECONDS = 60.0
"""The rate is a mean over this long."""

ENOUGH_ATTACKS = 50
"""From so many finished attacks on, their own mean is better than an estimate."""


class Pace:
    """Queries a second over the last RATE_SECONDS, and the seconds that are left at that rate.

    Args:
        expected: queries that an attack of each campaign is expected to send, by its name.
        clock: seconds.
    """

    def __init__(self, expected: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._expected = expected
        self._clock = clock
        self._history: deque[tuple[float, int]] = deque()

    def update(self, campaigns: Sequence[Campaign]) -> tuple[float, float | None]:
        """Take the campaigns as they are now. Returns the rate and the seconds left, None while unknown."""
        now = self._clock()
        self._history.append((now, sum(campaign.queries_sent for campaign in campaigns)))
        while len(self._history) > 2 and now - self._history[1][0] >= RATE_SECONDS:
            self._history.popleft()
        (then, before), (_, after) = self._history[0], self._history[-1]
        rate = (after - before) / (now - then) if now > then else 0.0
        left = self._queries_left(campaigns)
        if not left:
            return rate, 0.0
        return rate, left / rate if rate > 0 else None

    def _queries_left(self, campaigns: Sequence[Campaign]) -> float:
        left = 0.0
        for campaign in campaigns:
            if not campaign.ended:
                mean = self._expected[campaign.name]
                if campaign.attacks_finished >= ENOUGH_ATTACKS:
                    mean = campaign.queries_sent / campaign.attacks_finished
                left += (campaign.attacks_total - campaign.attacks_finished) * mean
        return left


def follow(
    client: PixelprobeClient,
    campaigns: Sequence[Campaign],
    messages: Console,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Campaign]:
    """Follow campaigns until they have all ended, and show how far they are.

    An orchestrator that goes away is waited for: campaigns outlive it.

    Returns:
        Their last states, in order.

    Raises:
        UnavailableError: it was away for PATIENCE_SECONDS.
        ServiceError: another failure.
    """
    expected = {}
    for campaign in campaigns:
        cost = campaign_cost(client.get_campaign_spec(campaign.name))
        expected[campaign.name] = cost.expected_queries / max(1, cost.attacks)
    pace = Pace(expected, clock)
    current = list(campaigns)
    board = _Board(messages)
    printed_at = answered_at = clock()
    with board.live if messages.is_terminal else nullcontext():
        while not all(campaign.ended for campaign in current):
            asked_at = clock()
            try:
                current = [client.get_campaign(campaign.name) for campaign in campaigns]
                answered_at = clock()
                board.show(current, *pace.update(current))
                board.note = _what_is_waited_for(current)
            except UnavailableError as error:
                if clock() - answered_at > PATIENCE_SECONDS:
                    raise
                board.note = f"{error.message}; trying again"
            if not messages.is_terminal and clock() - printed_at >= PLAIN_SECONDS:
                printed_at = clock()
                messages.print(f"{board.line} · {safe(board.note)}" if board.note else board.line)
            if not all(campaign.ended for campaign in current):
                sleep(max(POLL_SECONDS, (clock() - asked_at) / POLL_SHARE))
    return current


def _what_is_waited_for(campaigns: Sequence[Campaign]) -> str:
    """Return what campaigns that continue by themselves wait for, running ones included."""
    reasons = dict.fromkeys(one.state_reason for one in campaigns if one.state_reason and not one.ended)
    return f"waiting until this has passed: {'; '.join(reasons)}" if reasons else ""


class _Board:
    """A bar for each campaign, and a line about all of them."""

    def __init__(self, console: Console) -> None:
        self.line = "no answer yet"
        self.note = ""
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[state]}"),
            console=console,
        )
        self._tasks: dict[str, object] = {}
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def show(self, campaigns: Sequence[Campaign], rate: float, seconds_left: float | None) -> None:
        for campaign in campaigns:
            if campaign.name not in self._tasks:
                label = safe(campaign.display_name or campaign.name)
                self._tasks[campaign.name] = self._bars.add_task(label, total=None, state="")
            self._bars.update(
                self._tasks[campaign.name],  # type: ignore[arg-type]
                total=campaign.attacks_total,
                completed=campaign.attacks_finished - campaign.attacks_cancelled,
                state=campaign.state.value,
            )
        finished = sum(campaign.attacks_finished - campaign.attacks_cancelled for campaign in campaigns)
        total = sum(campaign.attacks_total for campaign in campaigns)
        queries = sum(campaign.queries_sent for campaign in campaigns)
        trouble = describe_trouble(*campaigns)
        asked = count(queries, "query", "queries") + (f" ({trouble})" if trouble else "")
        left = f"about {duration(seconds_left)} left" if seconds_left is not None else "time left unknown"
        self.line = f"{finished:,} of {count(total, 'attack')} · {asked} · {rate:,.0f}/s · {left}"

    def _render(self) -> RenderableType:
        return Group(self._bars, self.line, f"[yellow]{safe(self.note)}" if self.note else "")


def duration(seconds: float) -> str:
    """A time for people, to two units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
