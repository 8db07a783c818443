"""Patience runs out for what stays away, and is whole again for what has answered."""

from __future__ import annotations

from pixelprobe_services.orchestrator.campaigns.patience import Patience


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
