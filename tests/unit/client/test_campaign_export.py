"""Exported attacks: the same rows in all three formats, whole files or none."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pixelprobe.model import Campaign, CampaignImage, CampaignSpec, CampaignState, Outcome
from pixelprobe.results.export import COLUMNS, Exported, Format, Row, attack_row, write_rows
from tests.unit.client.values import NAME, TARGET, make_attack, make_result

SPEC = CampaignSpec(
    images=(CampaignImage("d" * 64, 'cat/"a", b.png', 0), CampaignImage("e" * 64, "b")),
    targets=("net",),
    seed=2**64 - 1,
    image_preparation="stretched",
)
EXPORTED = Exported(Campaign(NAME, "run@1/g", CampaignState.SUCCEEDED, "", 2, 2, 0, 0, 0), SPEC)
MASK = np.arange(48).reshape(6, 8) % 3 == 0


def rows() -> list[Row]:
    success = make_attack(make_result(mask=MASK, region_area_fraction=0.25))
    result = make_result(
        Outcome.NOT_APPLICABLE, reason="an empty\nregion", clean_top=(), best_top=(), edits=(),
        best_probability_of_clean_top=(), queries_to_success=0, fitness_by_generation=(),
    )  # fmt: skip
    left_out = replace(make_attack(result, 1), image_index=1, target="gone", target_class=3)
    return [attack_row(attack, EXPORTED, {"net": TARGET}) for attack in (success, left_out)]


def test_a_row_tells_all_about_an_attack() -> None:
    success, left_out = rows()
    assert set(success) == set(left_out) == set(COLUMNS)
    assert (success["campaign"], success["campaign_name"]) == (NAME, "run@1/g")
    assert (success["image"], success["image_digest"], success["image_class"]) == (
        'cat/"a", b.png',
        "d" * 64,
        0,
    )
    assert (success["image_label"], success["image_preparation"]) == ("cat", "stretched")
    assert (left_out["image_label"], left_out["target_label"]) == (None, None)
    assert (success["clean_label"], success["adversarial_label"]) == ("cat", "dog")
    assert success["edits"] == [[7, 5, 1, 2, 3]]
    assert success["clean_top"][0] == {"class": 0, "probability": 0.75}
    assert success["mask_area_fraction"] == pytest.approx(1 / 3)
    assert (success["region_area_fraction"], success["queries_to_success"]) == (0.25, 40)
    assert (left_out["outcome"], left_out["reason"]) == ("not_applicable", "an empty\nregion")
    assert (left_out["goal"], left_out["target_class"]) == ("targeted", 3)
    assert left_out["clean_class"] is None
    assert left_out["queries_to_success"] is None
    assert left_out["edits"] == []


def from_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert all(list(row) == list(COLUMNS) for row in read)

    def value(name: str, text: str) -> Any:
        kind = COLUMNS[name]
        if kind == "string":
            return text or None
        return json.loads(text) if text else None

    return [{name: value(name, text) for name, text in row.items()} for row in read]


def test_all_formats_hold_the_same(tmp_path: Path) -> None:
    for kind in Format:
        assert write_rows(tmp_path / "new" / f"x.{kind}", kind, rows()) == 2
    folder = tmp_path / "new"
    wanted = rows()
    assert json.loads((folder / "x.json").read_text()) == wanted
    assert pq.read_table(folder / "x.parquet").to_pylist() == wanted
    empty_is_none = [{name: value if value != "" else None for name, value in row.items()} for row in wanted]
    assert from_csv(folder / "x.csv") == empty_is_none
    assert sorted(path.name for path in folder.iterdir()) == ["x.csv", "x.json", "x.parquet"]


def test_no_attacks_are_an_empty_file_with_its_columns(tmp_path: Path) -> None:
    for kind in Format:
        assert write_rows(tmp_path / f"x.{kind}", kind, []) == 0
    assert json.loads((tmp_path / "x.json").read_text()) == []
    assert (tmp_path / "x.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert pq.read_table(tmp_path / "x.parquet").column_names == list(COLUMNS)


@pytest.mark.parametrize("kind", list(Format))
def test_a_failure_leaves_what_was_there(tmp_path: Path, kind: Format) -> None:
    path = tmp_path / "x"
    path.write_text("before")

    def failing() -> Iterator[Row]:
        yield rows()[0]
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError):
        write_rows(path, kind, failing())
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["x"]
