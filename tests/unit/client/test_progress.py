"""Live progress: what it counts, and that it is quiet away from a terminal."""

from __future__ import annotations

import io
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from pixelprobe.cli.progress import LINES, CampaignProgress, describe_attack
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    Campaign,
    CampaignChanged,
    CampaignImage,
    CampaignSpec,
    CampaignState,
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
CAMPAIGN = Campaign(NAME, "", CampaignState.PAUSED, "", 32, 1, 110, 0, 0)
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


def test_without_a_terminal_lines_say_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lines(io.StringIO):
        written = threading.Event()

        def write(self, text: str) -> int:
            self.written.set()
            return super().write(text)

    monkeypatch.setattr("pixelprobe.cli.progress.PLAIN_SECONDS", 0.001)
    stream = Lines()
    progress = CampaignProgress(SPEC, Console(file=stream, width=150), TARGETS, Clock())
    progress(moving(0, 10))
    progress(done(1))
    progress(CampaignChanged(2, replace(CAMPAIGN, waits=True, state_reason="target net: [busy]\x1b[2J")))
    with progress:
        assert stream.written.wait(60)
    first = stream.getvalue().splitlines()[0]
    assert first == (
        "1 of 32 attacks · 1 running · 1 success · 110 queries · 0/s · "
        r"waiting: target net: [busy]\x1b[2J"
    )


def test_an_end_before_the_first_line_prints_none() -> None:
    stream = io.StringIO()
    with CampaignProgress(SPEC, Console(file=stream), TARGETS) as progress:
        progress(done(0))
    assert stream.getvalue() == ""


def test_time_outs_and_rejections_are_shown_and_what_is_waited_for() -> None:
    progress = CampaignProgress(SPEC, Console(file=io.StringIO()), TARGETS)
    progress(
        AttackProgress(
            0,
            f"{NAME}/attacks/0",
            1,
            0.5,
            queries_sent=40,
            queries_timed_out=7,
            queries_rejected=1200,
            retries=1207,
            waiting_for="HTTP 429: slow\x1b[2J down",
        )
    )
    assert "7 timed out, 1,200 rejected, 1,207 sent again" in progress.line
    assert "waiting: HTTP 429: slow" in progress.line
    assert "\x1b" not in progress.line
    progress(AttackProgress(0, f"{NAME}/attacks/0", 1, 0.5, queries_sent=41))
    assert "waiting" not in progress.line
