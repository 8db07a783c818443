"""Load tests on the client's side: limits, the search for the highest rate, files and the page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from pixelprobe.inputs.planned import PlanError
from pixelprobe.load.files import as_record, write_csv, write_json
from pixelprobe.load.limits import parse_limits
from pixelprobe.load.page import load_page
from pixelprobe.load.run import highest_rate
from pixelprobe.load.values import Latency, LoadSpec, LoadStep, LoadWindow

SPEC = LoadSpec("net <b>", ("0" * 64,), rates=(50.0,))


def step(rate: float = 50.0, p99: float = 0.2, errors: int = 1, achieved: bool = True) -> LoadStep:
    latency = Latency(0.1, 0.1, 0.15, 0.18, p99, 0.3, 0.4)
    return LoadStep(
        rate, 0, 1, 10.0, 500, 49.9, 499, {"rejected": errors} if errors else {}, latency, "", 0.001, 0.2,
        1000, 2000, 0.0, achieved, "" if achieved else "slow <i>",
    )  # fmt: skip


WINDOWS = [
    [LoadWindow(0, False, 0.0, 1.0, 50, 0, 3, 0.1, 0.2), LoadWindow(0, False, 1.0, 1.0, 49, 1, 4, 0.1, 0.3)]
]


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("p99>199ms", True),
        ("p99>200ms", False),
        ("p99 > 0.1s", True),
        ("errors>0.1%", True),
        ("errors>0.2%", False),
        ("rate<50", True),
        ("rate<49.9", False),
        ("max<1s", True),
        ("p50>99000us", True),
    ],
)
def test_limits_are_read_as_written(text: str, broken: bool) -> None:
    (limit,) = parse_limits(text, "--fail-if")
    assert limit.broken(step()) is broken


@pytest.mark.parametrize(
    "text", ["p98>1ms", "p99>1", "p99", "p99=>1s", "errors>1ms", "rate>1%", "", "p99>1s,,"]
)
def test_a_limit_that_cannot_be_read_is_named_with_the_form(text: str) -> None:
    with pytest.raises(PlanError, match=r"^--fail-if: .*(expected FIGURE>VALUE|its unit)"):
        parse_limits(text, "--fail-if")


def test_the_highest_rate_is_bracketed_and_halved() -> None:
    limits = parse_limits("p99>100ms", "--slo")
    found, steps = highest_rate(lambda rate: step(rate, p99=0.05 if rate <= 333 else 0.5), 50.0, limits)
    assert found == pytest.approx(333, rel=0.02)
    assert found is not None
    assert found <= 333
    assert [one.offered_rate for one in steps[:5]] == [50, 100, 200, 400, 300]


def test_a_rate_that_was_not_held_does_not_hold() -> None:
    found, steps = highest_rate(lambda rate: step(rate, achieved=False), 50.0, [])
    assert found is None
    assert all(one.offered_rate <= 50 for one in steps)


def test_files_hold_what_was_measured(tmp_path: Path) -> None:
    record = as_record(SPEC, [step()], WINDOWS, 50.0)
    write_json(tmp_path / "load.json", record)
    written = json.loads((tmp_path / "load.json").read_text())
    assert written["steps"][0]["latency"]["p999"] == 0.3
    assert written["windows"][0][1]["errors"] == 1
    write_csv(tmp_path / "load.csv", [step()])
    with (tmp_path / "load.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["p99"], row["error_share"], row["achieved"]) == ("0.2", "0.002", "True")


def test_the_page_shows_steps_and_charts_and_text_as_text() -> None:
    page = load_page(SPEC, [step(), step(100.0, achieved=False)], WINDOWS, ["p99>100ms at 50/s."])
    assert page.count("<tr>") == 3
    assert "<b>" not in page
    assert "<i>" not in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "p99&gt;100ms at 50/s." in page


def test_a_page_of_a_test_without_answers_claims_no_latency() -> None:
    none = LoadStep(
        50.0, 0, 1, 10.0, 500, 0.0, 0, {"unavailable": 500}, Latency(0, 0, 0, 0, 0, 0, 0), "", 0.0, 0.1, 0, 0,
        0.0, False, "no answer",
    )  # fmt: skip
    page = load_page(SPEC, [none], [[]], [])
    assert "0.00</td>" not in page
    assert "data:image" not in page
