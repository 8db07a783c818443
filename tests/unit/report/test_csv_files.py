from __future__ import annotations

import csv
from pathlib import Path

import pytest

from pixelprobe.model import Outcome
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.numbers import work_out
from pixelprobe.report.reference import load_reference
from pixelprobe.report.tables import Accuracy, TableRow
from pixelprobe.report.write import write_csv, write_numbers
from tests.unit.report.made import failed, made, targeted

ROW = TableRow(
    "II", 'a "net", mine', "m", "whole", 1, "percent", 12.8, 100 * 0.128, None, 1 / 3, True, 5, None
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_rows_read_back_as_written(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", TableRow, [ROW])
    assert read(tmp_path / "t.csv") == [
        {
            "table": "II",
            "model": 'a "net", mine',
            "metric": "m",
            "region": "whole",
            "pixels": "1",
            "unit": "percent",
            "paper": "12.8",
            "ours": "12.8",
            "low": "",
            "high": "0.3333333333",
            "inside": "true",
            "n": "5",
            "successes": "",
        }
    ]


def test_without_rows_the_header_is_written_still(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", TableRow, [])
    assert (tmp_path / "t.csv").read_text().startswith("table,model,metric,region,pixels,unit,paper,ours,")
    assert read(tmp_path / "t.csv") == []


def test_all_tables_are_written_with_our_numbers(tmp_path: Path) -> None:
    rows = [
        (made if number < 2 else failed)(image, region=region, target="allconv_cifar10")
        for number, image in enumerate("abcd")
        for region in ("whole", "foreground", "background")
    ]
    rows += [targeted("a", goal, Outcome.SUCCESS) for goal in (1, 2)]
    rows += [made("e", Outcome.ERROR, reason="gone")]
    accuracies = {"allconv_cifar10": Accuracy(9, 10)}
    numbers = work_out(Evaluation(rows), load_reference(), accuracies, 3)
    files = write_numbers(tmp_path / "new" / "out", numbers)
    assert sorted(file.name for file in files) == sorted(p.name for p in (tmp_path / "new" / "out").iterdir())
    written = {file.stem: read(file) for file in files}
    assert {name for name, lines in written.items() if not lines} == set()
    assert len(written) == 13
    first = written["table_2"][0]
    assert (first["model"], first["ours"], first["paper"], first["inside"]) == (
        "allconv_cifar10",
        "50",
        "12.8",
        "false",
    )
    assert written["table_1"][0]["ours"] == "90"
    assert {line["outcome"] for line in written["left_out"]} == {"error"}


def test_an_evaluation_without_attacks_still_writes_all_files(tmp_path: Path) -> None:
    files = write_numbers(tmp_path, work_out(Evaluation([]), load_reference(), {}, 10))
    assert len(files) == 13
    assert all(read(file) == [] for file in files)


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_numbers(tmp_path / "file", work_out(Evaluation([]), load_reference(), {}, 10))
