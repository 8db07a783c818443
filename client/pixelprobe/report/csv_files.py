"""Plain rows (dataclasses) as CSV files: a header of field names, numbers in full, nothing for None."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from pixelprobe.report.figure_data import BudgetRow, ComparisonRow, FitnessRow, PairRow, ReachedRow
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.metrics.left_out import LeftOut
from pixelprobe.report.numbers import Numbers, work_out
from pixelprobe.report.reference import Reference
from pixelprobe.report.tables import Accuracy, TableRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def write_csv(path: Path, kind: type[DataclassInstance], rows: Iterable[DataclassInstance]) -> None:
    """Write rows of one kind; a file without rows has its header still.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        names = [field.name for field in fields(kind)]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)


def write_numbers(folder: Path, numbers: Numbers) -> list[Path]:
    """Write all tables and figures' data into ``folder``, made if need be.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, tuple[type[DataclassInstance], Iterable[DataclassInstance]]] = {
        "table_1": (TableRow, numbers.table_1),
        "table_2": (TableRow, numbers.table_2),
        "table_3": (TableRow, numbers.table_3),
        "table_4": (TableRow, numbers.table_4),
        "relative_drops": (TableRow, numbers.drops),
        "success_within_generations": (TableRow, numbers.soon),
        "region_areas": (TableRow, numbers.areas),
        "figure_3": (ReachedRow, numbers.reached),
        "figures_4_and_5": (PairRow, numbers.pairs),
        "figure_6": (FitnessRow, numbers.fitness),
        "success_by_budget": (BudgetRow, numbers.budgets),
        "region_comparisons": (ComparisonRow, numbers.comparisons),
        "left_out": (LeftOut, numbers.left_out),
    }
    written = []
    for name, (kind, rows) in contents.items():
        written.append(folder / f"{name}.csv")
        write_csv(written[-1], kind, rows)
    return written


def write_tables(
    folder: Path,
    evaluation: Evaluation,
    reference: Reference,
    accuracies: Mapping[str, Accuracy],
    classes: int = 10,
) -> list[Path]:
    """Work out all numbers and write them: :func:`work_out`, then :func:`write_numbers`."""
    return write_numbers(folder, work_out(evaluation, reference, accuracies, classes))


def _cell(value: object) -> object:
    """Floats to ten digits, so that 12.8 does not read 12.799999999999999."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value
