"""Live progress: what it counts, and that it is quiet away from a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from pixelprobe.cli.progress import LINES, CampaignProgress, describe_attack
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    CampaignImage,
    CampaignSpec,
    Goal,
    Outcome,
    Region,
)
from tests.unit.client.values import NAME, OTHER, TARGET, make_attack, make_result

SPEC = CampaignSpec(
    images=(CampaignImage("0" * 64, "a"), CampaignImage("1" * 64, "b")),
    targets=("net", "other"),
    regions=(Region.WHOLE, Region.BACKGROUND),
    pixel_counts=(1, 3),
    goals=(Goal(), Goal(2)),
)
TARGETS = {"net": TARGET, "other": replace(OTHER, labels=())}


def moving(number: int, queries: int) -> AttackProgress:
    return AttackProgress(0, f"{NAME}/attacks/{number}", generation=4, best_fitness=0.5, queries_sent=queries)


def done(number: int, outcome: Outcome = Outcome.SUCCESS) -> AttackFinished:
    return AttackFinished(1, make_attack(make_result(outcome, queries_sent=100), number))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_attacks_are_named_by_their_number_in_the_spec() -> None:
    assert describe_attack(SPEC, f"{NAME}/attacks/0", TARGETS) == "a · net · whole · 1px"
    assert describe_attack(SPEC, f"{NAME}/attacks/1", TARGETS) == "a · net · whole · 1px · to Frog"
    assert describe_attack(SPEC, f"{NAME}/attacks/2", TARGETS) == "a · net · whole · 3px"
    assert describe_attack(SPEC, f"{NAME}/attacks/4", TARGETS) == "a · net · background · 1px"
    assert describe_attack(SPEC, f"{NAME}/attacks/8", TARGETS) == "a · other · whole · 1px"
    assert describe_attack(SPEC, f"{NAME}/attacks/31", TARGETS) == "b · other · background · 3px · to class 2"


def test_queries_and_rate_follow_the_events() -> None:
    clock = Clock()
    progress = CampaignProgress(SPEC, Console(file=io.StringIO()), TARGETS, clock)
    clock.now = 2.0
    progress(moving(0, 60))
    progress(moving(1, 40))
    assert progress.queries == 100
    assert progress.rate == 50.0
    progress(done(0))
    progress(done(0))  # told again after a reconnection
    progress(moving(0, 70))  # late
    assert progress.queries == 140
    clock.now = 20.0
    assert progress.rate < 10
    assert progress.outcomes == {Outcome.SUCCESS: 1}


def test_what_a_terminal_shows() -> None:
    progress = CampaignProgress(SPEC, Console(file=io.StringIO()), TARGETS)
    for number in range(LINES + 3):
        progress(moving(number, 10))
    progress(done(20))
    console = Console(file=io.StringIO(), width=140)
    console.print(progress.render())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1/32" in shown
    assert "1 success" in shown
    assert "a · net · whole · 1px · to Frog" in shown
    assert "generation 4/100" in shown
    assert "best 0.5000" in shown
    assert "and 3 more" in shown


def test_nothing_is_written_away_from_a_terminal() -> None:
    stream = io.StringIO()
    with CampaignProgress(replace(SPEC), Console(file=stream), TARGETS) as progress:
        progress(moving(0, 10))
        progress(done(0))
    assert stream.getvalue() == ""
