"""Tables for people."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from pixelprobe.cli.tables import attack_table, reason_lines, summary_table
from pixelprobe.model import Outcome, Region
from tests.unit.client.values import TARGET, make_attack, make_result

TARGETS = {"net": TARGET}


def text(table: Table) -> str:
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
    assert whole.split() == ["whole", "1", "4", "2", "50%", "50", "1"]
    assert background.split() == ["background", "1", "0", "0", "-", "-", "1"]
    assert text(summary_table(attacks, by_target=True)).splitlines()[1].split()[0] == "net"


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
