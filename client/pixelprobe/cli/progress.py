"""Progress of a campaign: bars on a terminal, and a line every so often where there is none."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from pixelprobe.cli.console import safe
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    CampaignChanged,
    CampaignSpec,
    CampaignState,
    Event,
    Outcome,
    Result,
    Target,
)
from pixelprobe.results.captions import class_name, count, describe_trouble

LINES = 6
"""Most running attacks that are shown at a time."""

RATE_SECONDS = 5.0
"""The rate of queries is a mean over this long."""

PLAIN_SECONDS = 10.0
"""Without a terminal a line is printed this often."""


class CampaignProgress:
    """Shows a campaign's events: live on a terminal, else as one line every PLAIN_SECONDS.

    Use as a context manager; safe to call from one thread while the lines are printed by its own.

    Example:
        with CampaignProgress(spec, console, targets) as progress:
            for event in client.watch_campaign(name):
                progress(event)
    """

    def __init__(
        self,
        spec: CampaignSpec,
        console: Console,
        targets: Mapping[str, Target],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._targets = targets
        self._clock = clock
        self._running: dict[str, AttackProgress] = {}
        self._finished: set[str] = set()
        self._note = ""
        self._queries_finished = 0
        self._troubles: list[Result] = []  # of finished attacks, those with queries not answered at once
        self._history: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._bar = Progress(
            TextColumn("[bold]attacks"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[summary]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self.outcomes: Counter[Outcome] = Counter()
        self._task = self._bar.add_task("attacks", total=_attack_count(spec), summary="")
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=5, transient=True)
        self._console = console
        self._ended = threading.Event()
        self._printer = threading.Thread(target=self._print_lines, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._printer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._printer.join()

    @property
    def queries(self) -> int:
        """Queries sent so far, as far as events say."""
        running = tuple(self._running.values())
        return self._queries_finished + sum(attack.queries_sent for attack in running)

    @property
    def rate(self) -> float:
        """Queries a second over the last RATE_SECONDS."""
        now = self._clock()
        self._history.append((now, self.queries))
        while len(self._history) > 2 and now - self._history[1][0] >= RATE_SECONDS:
            self._history.popleft()
        then, before = self._history[0]
        return (self.queries - before) / (now - then) if now > then else 0.0

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, AttackProgress) and event.attack not in self._finished:
            self._running[event.attack] = event
        elif isinstance(event, AttackFinished) and event.attack.name not in self._finished:
            self._finished.add(event.attack.name)
            self._running.pop(event.attack.name, None)
            if event.attack.result is not None:
                self._queries_finished += event.attack.result.queries_sent
                self.outcomes[event.attack.result.outcome] += 1
                if describe_trouble(event.attack.result):
                    self._troubles.append(event.attack.result)
        elif isinstance(event, CampaignChanged):
            waits = event.campaign.waits or event.campaign.state is CampaignState.WAITING
            self._note = f"waiting: {event.campaign.state_reason}" if waits else ""

    @property
    def line(self) -> str:
        """The progress of the campaign on one line, for ``console.print``."""
        done = f"{self._done:,} of {count(_attack_count(self._spec), 'attack')}"
        running = f"{len(self._running):,} running"
        parts = [done, running, *self._summary(), safe(self._waiting_for)]
        return " · ".join(part for part in parts if part)

    @property
    def _done(self) -> int:
        return len(self._finished) - self.outcomes[Outcome.CANCELLED]

    def _summary(self) -> list[str]:
        trouble = describe_trouble(*self._troubles, *tuple(self._running.values()))
        return [
            count(self.outcomes[Outcome.SUCCESS], "success", "successes"),
            count(self.queries, "query", "queries"),
            *([trouble] if trouble else []),
            f"{self.rate:,.0f}/s",
        ]

    @property
    def _waiting_for(self) -> str:
        """What the campaign waits for, or else why a target has not answered an attack's last queries."""
        if self._note:
            return self._note
        reasons = dict.fromkeys(attack.waiting_for for attack in tuple(self._running.values()))
        return next((f"waiting: {reason}" for reason in reasons if reason), "")

    def _print_lines(self) -> None:
        while not self._ended.wait(PLAIN_SECONDS):
            self._console.print(self.line, style="dim", soft_wrap=True)

    def render(self) -> RenderableType:
        """Render what the terminal shows now."""
        summary = "".join(f"· {part} " for part in self._summary())
        self._bar.update(self._task, completed=self._done, summary=summary)
        lines = Table.grid(padding=(0, 2))
        # The oldest of the running attacks stay in their lines until they finish.
        for name, progress in list(self._running.items())[:LINES]:
            lines.add_row(
                f"[dim]{safe(describe_attack(self._spec, name, self._targets))}",
                f"generation {progress.generation}/{self._spec.search.generations}",
                f"best {progress.best_fitness:.4f}",
                f"{progress.queries_sent:,} queries",
            )
        more = len(self._running) - LINES
        note = f"[yellow]{safe(self._waiting_for)}" if self._waiting_for else ""
        return Group(self._bar, lines, f"[dim]and {more} more" if more > 0 else "", note)


def describe_attack(spec: CampaignSpec, name: str, targets: Mapping[str, Target]) -> str:
    """Describe the attack of a resource name, whose number counts through the spec, images outermost."""
    rest = int(name.rpartition("/")[2])
    rest, goal = divmod(rest, len(spec.goals))
    rest, pixels = divmod(rest, len(spec.pixel_counts))
    rest, region = divmod(rest, len(spec.regions))
    image, target = divmod(rest, len(spec.targets))
    aim, attacked = spec.goals[goal].target_class, spec.targets[target]
    parts = [
        spec.images[image].display_name,
        attacked,
        spec.regions[region].value,
        f"{spec.pixel_counts[pixels]}px",
    ]
    return " · ".join(parts if aim is None else [*parts, f"to {class_name(targets[attacked], aim)}"])


def _attack_count(spec: CampaignSpec) -> int:
    return spec.attack_count
