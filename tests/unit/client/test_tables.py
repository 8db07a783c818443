"""Tables for people."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from pixelprobe.cli.tables import attack_table, median_interval, reason_lines, summary_table
from pixelprobe.model import Outcome, Region
from tests.unit.client.values import TARGET, make_attack, make_result

TARGETS = {"net": TARGET}


def text(table: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=150)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_what_attacks_share_stands_above_and_what_differs_in_columns() -> None:
    attacks = [make_attack(make_result(), 0), make_attack(make_result(), 1, region=Region.FOREGROUND)]
    shown = text(attack_table(attacks, ["a[b]"], TARGETS))
    lines = shown.splitlines()
    assert lines[0].strip() == "a[b] · net · 1 pixel · untargeted"
    assert lines[1].split() == ["region", "outcome", "clean", "best", "queries", "generations"]
    assert lines[2].split() == ["whole", "success", "cat", "75%", "dog", "50%", "42", "1"]


def test_an_attack_without_scores_leaves_cells_empty() -> None:
    result = make_result(Outcome.ERROR, clean_top=(), best_top=(), queries_sent=0)
    assert "error" in text(attack_table([make_attack(result)], ["a"], TARGETS))


def test_the_summary_counts_what_was_tried() -> None:
    attacks = [
        make_attack(make_result(queries_to_success=40)),
        make_attack(make_result(queries_to_success=60)),
        make_attack(make_result(Outcome.FAILURE, queries_to_success=0)),
        make_attack(make_result(Outcome.BUDGET_EXHAUSTED, queries_to_success=0)),
        make_attack(make_result(Outcome.NOT_APPLICABLE, queries_to_success=0)),
        make_attack(make_result(Outcome.ERROR, queries_to_success=0), region=Region.BACKGROUND),
    ]
    header, whole, background = text(summary_table(attacks)).splitlines()
    assert header.split()[:4] == ["region", "pixels", "attacks", "successes"]
    assert whole.split() == ["whole", "1", "4", "2", "50%", "50", "-", "1"]
    assert background.split() == ["background", "1", "0", "0", "-", "-", "-", "1"]
    assert text(summary_table(attacks, by_target=True)).splitlines()[1].split()[0] == "net"


def test_a_condition_has_no_rate_before_it_is_complete() -> None:
    attacks = [make_attack(make_result(queries_to_success=40))]
    row = text(summary_table(attacks, expected=10)).splitlines()[1]
    assert row.split() == ["whole", "1", "1", "1", "open,", "9", "to", "go", "-", "-", "0"]
    attacks += [make_attack(make_result(Outcome.FAILURE, queries_to_success=0))] * 9
    assert "10%" in text(summary_table(attacks, expected=10))


def test_a_cancelled_attack_leaves_its_condition_open() -> None:
    attacks = [make_attack(make_result()), make_attack(make_result(Outcome.CANCELLED))]
    row = text(summary_table(attacks)).splitlines()[1]
    assert row.split() == ["whole", "1", "1", "1", "open,", "1", "to", "go", "-", "-", "0"]


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (20, (6, 15)), (100, (40, 61))],
)
def test_the_medians_interval_is_the_textbooks(n: int, ranks: tuple[int, int] | None) -> None:
    """Ranks as in Conover, Practical Nonparametric Statistics: exact binomial, two-sided 95%."""
    assert median_interval(list(range(n, 0, -1))) == ranks


def test_a_long_title_is_not_wrapped_to_the_tables_width() -> None:
    name = "a photograph with a name that is longer than the table below it is wide " * 2
    shown = text(attack_table([make_attack(make_result())] * 2, [name.strip()], TARGETS))
    assert name.strip() in shown.replace("\n", " ")
    assert shown.splitlines()[0].startswith(name[:100])


def test_a_narrow_terminal_breaks_long_names_and_loses_no_column() -> None:
    labels = ("American Staffordshire terrier", "German short-haired pointer", "cat")
    attacks = [make_attack(make_result(), 0), make_attack(make_result(), 1, region=Region.FOREGROUND)]
    console = Console(file=io.StringIO(), width=80)
    console.print(attack_table(attacks, ["a"], {"net": replace(TARGET, labels=labels)}))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[1].split() == ["region", "outcome", "clean", "best", "queries", "generations"]
    shown = " ".join(lines)
    for word in ("foreground", "success", "Staffordshire", "short-haired", "75%", "50%", "42"):
        assert word in shown


def test_images_left_out_for_like_reasons_have_a_line_in_common() -> None:
    misread = "the clean image is misclassified: "
    reasons = [misread + "bikini instead of maillot"] * 2 + [f"{misread}{n} instead of 0" for n in range(20)]
    attacks = [make_attack(make_result(Outcome.NOT_APPLICABLE, reason=reason)) for reason in reasons]
    attacks += [make_attack(make_result(Outcome.ERROR, reason=f"net: {n}")) for n in range(2)]
    assert reason_lines(attacks) == [
        f"22 not applicable: {misread}bikini instead of maillot, and 20 more like it",
        "1 error: net: 0",
        "1 error: net: 1",
    ]


def test_reasons_are_counted_and_capped() -> None:
    attacks = [make_attack(make_result(Outcome.ERROR, reason="gone")) for _ in range(3)]
    attacks += [make_attack(make_result(Outcome.BUDGET_EXHAUSTED, reason="spent"))]
    attacks += [make_attack(make_result(Outcome.NOT_APPLICABLE, reason=f"r{n}")) for n in range(10)]
    lines = reason_lines(attacks)
    assert lines[0] == "3 error: gone"
    assert len(lines) == 9
    assert lines[-1] == "3 for other reasons, see results.json"
    assert not any("spent" in line for line in lines)
