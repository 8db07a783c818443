"""Names and reasons that others chose, at each place where the client prints or writes them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.live import Live
from rich.table import Table

from pixelprobe.cli.console import SafeConsole, safe
from pixelprobe.cli.shell import one_line_errors
from pixelprobe.cli.tables import attack_table, reason_lines, summary_table
from pixelprobe.inputs.images import InputImage
from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import LeftOut
from pixelprobe.report.write import write_csv
from pixelprobe.results.export import COLUMNS, Format, write_rows
from pixelprobe.results.files import write_images
from pixelprobe_services.common.errors import ServiceError
from tests.unit.client.values import TARGET, make_attack, make_result

HOSTILE = "[bold]x\x1b]52;c;aGk=\x07\x1b[2J\u202e\nsecond"
CLEAN = np.zeros((6, 8, 3), np.uint8)


def printed(*things: object) -> str:
    console = SafeConsole(file=io.StringIO(), width=200)
    for thing in things:
        console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_name_shows_as_it_is_on_one_line() -> None:
    assert printed(safe(HOSTILE)) == "[bold]x\\x1b]52;c;aGk=\\x07\\x1b[2J\\u202e second\n"


def test_the_console_itself_lets_no_control_character_through() -> None:
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    assert not set(printed(HOSTILE, table)) & set("\x1b\x07\u202e")


def test_a_live_display_still_moves_the_cursor() -> None:
    console = SafeConsole(file=io.StringIO(), width=40, force_terminal=True)
    with Live(safe(HOSTILE), console=console):
        pass
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    assert "\x1b[?25l" in written  # rich hides the cursor
    assert "\x1b]52" not in written
    assert "\x1b[2J" not in written


def test_tables_of_a_hostile_target() -> None:
    target = replace(TARGET, name=HOSTILE, labels=(HOSTILE,) * len(TARGET.labels))
    attack = replace(make_attack(make_result(Outcome.SUCCESS)), target=HOSTILE)
    other = replace(make_attack(make_result(Outcome.ERROR, reason=HOSTILE)), target=HOSTILE)
    text = printed(
        attack_table([attack, other], [HOSTILE], {HOSTILE: target}),
        summary_table([attack], by_target=True),
        *map(safe, reason_lines([other])),
    )
    assert not set(text) & set("\x1b\x07\u202e")
    assert "[bold]x" in text


def test_an_error_stays_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        raise ServiceError(HOSTILE)
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert not set(written) & set("\x1b\x07\u202e")


def test_a_targets_name_does_not_leave_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = ("../../evil", "/../../evil", "..")
    attacks = [replace(make_attack(make_result(Outcome.SUCCESS)), target=name) for name in names]
    planned = PlannedImage(InputImage(Path("a.png"), CLEAN), 0)
    files, _ = write_images(out, [planned], attacks, dict.fromkeys(names, TARGET))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.parent == out / "a" for path in written)
    # Three targets, so three adversarial images: names that clean to the same text stay apart.
    assert len({each.adversarial for each in files}) == 3


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "@SUM(1)", "+1", "-x"])
def test_an_exported_name_is_no_formula(tmp_path: Path, text: str) -> None:
    row = dict.fromkeys(COLUMNS, None) | {"campaign_name": text, "seed": 7, "edits": [[1, 2]]}
    write_rows(tmp_path / "x.csv", Format.CSV, [row])
    (read,) = csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text(encoding="utf-8")))
    assert read["campaign_name"] == "'" + text
    assert (read["seed"], read["edits"]) == ("7", "[[1, 2]]")


def test_a_reports_cell_is_no_formula(tmp_path: Path) -> None:
    row = LeftOut("=x", "whole", 1, "untargeted", "error", "@y", 1, 1)
    write_csv(tmp_path / "x.csv", LeftOut, [row])
    cells = next(csv.reader((tmp_path / "x.csv").read_text(encoding="utf-8").splitlines()[1:]))
    assert cells == ["'=x", "whole", "1", "untargeted", "error", "'@y", "1", "1"]
