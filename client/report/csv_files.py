"""Plain rows (dataclasses) as CSV files: a header of field names, numbers in full, nothing for None."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from client.report.figure_data import (
    BudgetRow,
    ComparisonRow,
    FitnessRow,
    PairRow,
    ReachedRow,
    budget_rows,
    comparison_rows,
    fitness_rows,
    pair_rows,
    reached_rows,
)
from client.report.metrics.evaluation import Evaluation
from client.report.metrics.left_out import LeftOut, left_out
from client.report.reference import Reference
from client.report.tables import (
    Accuracy,
    TableRow,
    area_table,
    drop_table,
    soon_table,
    table_1,
    table_2,
    table_3,
    table_4,
)

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


def write_tables(
    folder: Path,
    evaluation: Evaluation,
    reference: Reference,
    accuracies: Mapping[str, Accuracy],
    classes: int = 10,
) -> list[Path]:
    """Write all tables and figures' data into ``folder``, made if need be.

    Args:
        folder: where to.
        evaluation: the attacks.
        reference: the paper's numbers.
        accuracies: on clean pictures, by model, for table I.
        classes: how many the models know.

    Returns:
        The files.

    Raises:
        OSError: a file cannot be written.
        InvalidArgumentError: an attack names a class beyond ``classes``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "table_1": table_1(accuracies, reference),
        "table_2": table_2(evaluation, reference, classes),
        "table_3": table_3(evaluation, reference),
        "table_4": table_4(evaluation, reference),
        "relative_drops": drop_table(evaluation, reference, classes),
        "success_within_generations": soon_table(evaluation),
        "region_areas": area_table(evaluation),
    }
    written = []
    for name, table in tables.items():
        written.append(folder / f"{name}.csv")
        write_csv(written[-1], TableRow, table)
    figures: dict[str, tuple[type[DataclassInstance], Iterable[DataclassInstance]]] = {
        "figure_3": (ReachedRow, reached_rows(evaluation, classes)),
        "figures_4_and_5": (PairRow, pair_rows(evaluation, classes)),
        "figure_6": (FitnessRow, fitness_rows(evaluation)),
        "success_by_budget": (BudgetRow, budget_rows(evaluation)),
        "region_comparisons": (ComparisonRow, comparison_rows(evaluation)),
        "left_out": (LeftOut, left_out(evaluation, classes)),
    }
    for name, (kind, rows) in figures.items():
        written.append(folder / f"{name}.csv")
        write_csv(written[-1], kind, rows)
    return written


def _cell(value: object) -> object:
    """Floats to ten digits, so that 12.8 does not read 12.799999999999999."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10g}" if isinstance(value, float) else value
