"""Export finished attacks for other programs: one row an attack, the same columns in every format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Attack, Campaign, CampaignSpec, ClassScore, Target
from pixelprobe.results.records import AttackFiles, attack_record, result_of
from pixelprobe_services.common.files import replacing
from pixelprobe_services.common.text import csv_cell

Row = dict[str, Any]

PARQUET_ROWS = 2000
"""Rows that are held in memory at a time."""

_PATHS = ("adversarial_path", "mask_path")  # the columns of `attack --json` that mean nothing here


class Format(StrEnum):
    """Kinds of file."""

    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


@dataclass(frozen=True)
class Exported:
    """A campaign with what was asked of it."""

    campaign: Campaign
    spec: CampaignSpec


def attack_row(attack: Attack, exported: Exported, targets: Mapping[str, Target]) -> Row:
    """A finished attack: what `attack --json` prints, and more.

    Classes are indices, scores and edits lists. All attacks have the same columns; None is nothing to say.
    """
    image = exported.spec.images[attack.image_index]
    result = result_of(attack)
    target = targets.get(attack.target) or Target(attack.target, False, "", 0, 0, 0, (), False)
    record = attack_record(attack, Path(image.display_name), target, exported.spec, AttackFiles())
    return {
        "campaign": exported.campaign.name,
        "campaign_name": exported.campaign.display_name,
        "attack": attack.name,
        "image_digest": image.digest,
        "image_class": image.label,
        "image_label": None if image.label is None else target.label(image.label),
        **{key: value for key, value in record.items() if key not in _PATHS},
        "queries_to_success": result.queries_to_success or None,
        "region_area_fraction": result.region_area_fraction,
        "started_over": result.started_over,
        "clean_top": _scores(result.clean_top),
        "adversarial_top": _scores(result.best_top),
        "fitness_by_generation": [round(value, 8) for value in result.fitness_by_generation],
    }


def write_rows(path: Path, kind: Format, rows: Iterable[Row]) -> int:
    """Write a file whole or not at all. Returns the number of rows.

    Raises:
        PlanError: parquet without pyarrow.
        OSError: the file cannot be written.
    """
    writers: dict[Format, Callable[[IO[bytes], Iterable[Row]], int]] = {
        Format.CSV: _write_csv,
        Format.JSON: _write_json,
        Format.PARQUET: _write_parquet,
    }
    with replacing(path) as file:
        return writers[kind](file, rows)


COLUMNS: dict[str, str] = {
    "campaign": "string", "campaign_name": "string", "attack": "string", "image_digest": "string",
    "image_class": "integer", "image_label": "string", "image": "string",
    "image_preparation": "string", "target": "string", "region": "string", "pixels": "integer",
    "goal": "string", "target_class": "integer", "target_label": "string", "outcome": "string",
    "reason": "string", "clean_class": "integer", "clean_label": "string", "clean_probability": "number",
    "adversarial_class": "integer", "adversarial_label": "string", "adversarial_probability": "number",
    "edits": "edits", "queries_sent": "integer", "queries_skipped": "integer",
    "queries_repeated": "integer", "queries_answered": "integer", "queries_timed_out": "integer",
    "queries_rejected": "integer", "retries": "integer", "clean_held": "string",
    "success_held": "string", "generations": "integer", "seed": "seed",
    "mask_area_fraction": "number", "queries_to_success": "integer", "region_area_fraction": "number",
    "started_over": "string", "clean_top": "scores", "adversarial_top": "scores",
    "fitness_by_generation": "numbers",
}  # fmt: skip
"""Columns in order, with their types; in CSV lists are JSON texts."""


def _write_csv(file: IO[bytes], rows: Iterable[Row]) -> int:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for row in rows:
        count += 1
        writer.writerow(
            [json.dumps(cell) if isinstance(cell, list) else csv_cell(cell) for cell in _cells(row)]
        )
    text.detach()  # flushed; the file is closed by the caller
    return count


def _write_json(file: IO[bytes], rows: Iterable[Row]) -> int:
    file.write(b"[")
    count = 0
    for count, row in enumerate(rows, 1):
        file.write((",\n" if count > 1 else "\n").encode())
        file.write(json.dumps(dict(zip(COLUMNS, _cells(row), strict=True))).encode())
    file.write(b"\n]\n")
    return count


def _write_parquet(file: IO[bytes], rows: Iterable[Row]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise PlanError("writing parquet needs pyarrow: pip install 'pixelprobe[report]'") from error
    score = pa.struct([("class", pa.int64()), ("probability", pa.float64())])
    types = {
        "string": pa.string(),
        "integer": pa.int64(),
        "seed": pa.uint64(),
        "number": pa.float64(),
        "numbers": pa.list_(pa.float64()),
        "edits": pa.list_(pa.list_(pa.int64())),
        "scores": pa.list_(score),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    count = 0
    remaining = iter(rows)
    with pq.ParquetWriter(file, schema) as writer:
        while chunk := list(islice(remaining, PARQUET_ROWS)):
            writer.write_table(pa.Table.from_pylist(chunk, schema=schema))
            count += len(chunk)
    return count


def _cells(row: Row) -> list[Any]:
    return [row[name] for name in COLUMNS]


def _scores(scores: Iterable[ClassScore]) -> list[dict[str, float]]:
    return [{"class": score.class_index, "probability": score.probability} for score in scores]
