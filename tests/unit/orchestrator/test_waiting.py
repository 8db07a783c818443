"""Patience and pauses: what is away is waited for, ever longer, and not for ever where others could run."""

from __future__ import annotations

import pytest

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.orchestrator.campaigns.waiting import Patience, Wait
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError
from pixelprobe_services.orchestrator.timing import Timing


def test_patience_ends_and_comes_back() -> None:
    now = 0.0
    patience = Patience(10, lambda: now)
    assert patience.is_left("a")
    now = 9.0
    assert patience.is_left("a")
    assert patience.is_left("b")
    now = 10.0
    assert not patience.is_left("a")
    assert patience.is_left("b")
    patience.answered("a")
    assert patience.is_left("a")
    patience.answered("never away")


def test_no_patience_at_all() -> None:
    assert not Patience(0).is_left("a")


def test_pauses_double_up_to_the_longest() -> None:
    timing = Timing(first_wait=2, longest_wait=7)
    waits: list[Wait] = []
    for _ in range(4):
        waits.append(Wait.after(ServiceError("gone"), waits[-1] if waits else None, timing))
    assert [wait.pause for wait in waits] == [2, 4, 7, 7]
    assert {wait.reason for wait in waits} == {"gone"}


def test_the_pause_of_a_quota_does_not_grow() -> None:
    timing = Timing(first_wait=2, day_wait=30)
    first = Wait.after(DayUsedUpError("ann", 5), None, timing)
    assert first.pause == 30
    assert Wait.after(DayUsedUpError("ann", 5), first, timing).pause == 30


def test_a_timing_is_read_by_name() -> None:
    assert Timing.parse("") == Timing()
    assert Timing.parse("poll=0.1, target_attempts=3") == Timing(poll=0.1, target_attempts=3)


@pytest.mark.parametrize("text", ["polls=1", "poll=", "poll=soon", "poll=0", "poll=-1", "poll=nan"])
def test_a_bad_timing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|convert|positive"):
        Timing.parse(text)
