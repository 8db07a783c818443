"""All numbers of a report, worked out once: what its CSV files hold, its figures draw and its page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pixelprobe.report.figure_data import (
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
from pixelprobe.report.metrics.evaluation import Evaluation, LeftOut, left_out
from pixelprobe.report.reference import IMAGENET, Reference, dataset_of
from pixelprobe.report.tables import (
    Accuracy,
    OtherNumber,
    TableRow,
    area_table,
    drop_table,
    other_networks,
    soon_table,
    table_1,
    table_2,
    table_3,
    table_4,
)


@dataclass(frozen=True)
class Numbers:
    """Rows by what they are for; see :mod:`~pixelprobe.report.tables`, :mod:`~pixelprobe.report.figure_data`.

    ``others`` are the paper's for its networks on ImageNet, where none of them was attacked but others were.
    """

    table_1: list[TableRow]
    table_2: list[TableRow]
    table_3: list[TableRow]
    table_4: list[TableRow]
    drops: list[TableRow]
    soon: list[TableRow]
    areas: list[TableRow]
    reached: list[ReachedRow]
    pairs: list[PairRow]
    fitness: list[FitnessRow]
    budgets: list[BudgetRow]
    comparisons: list[ComparisonRow]
    left_out: list[LeftOut]
    others: list[OtherNumber]


def work_out(
    evaluation: Evaluation,
    reference: Reference,
    accuracies: Mapping[str, Accuracy],
    classes: int = 10,
    fitness: Evaluation | None = None,
) -> Numbers:
    """All numbers.

    Args:
        evaluation: the attacks.
        reference: the paper's numbers.
        accuracies: on clean images, by model, for table I.
        classes: how many the models know.
        fitness: the attacks for figure 6, where they are not those of ``evaluation``.

    Raises:
        InvalidArgumentError: an attack names a class beyond ``classes``.
    """
    dataset = dataset_of(classes)
    table_3_rows = table_3(evaluation, reference)
    table_4_rows = table_4(evaluation, reference)
    drops = drop_table(evaluation, reference, classes)
    comparable = [*table_3_rows, *table_4_rows, *drops] if dataset is IMAGENET else []
    return Numbers(
        table_1=table_1(accuracies, reference),
        table_2=table_2(evaluation, reference, classes),
        table_3=table_3_rows,
        table_4=table_4_rows,
        drops=drops,
        soon=soon_table(evaluation),
        areas=area_table(evaluation),
        reached=list(reached_rows(evaluation, classes)),
        pairs=list(pair_rows(evaluation, classes)),
        fitness=list(fitness_rows(fitness or evaluation, limit=dataset.curves)),
        budgets=list(budget_rows(evaluation)),
        comparisons=list(comparison_rows(evaluation)),
        left_out=left_out(evaluation, classes),
        others=other_networks(comparable, reference, dataset),
    )
