"""All charts of a report, by the section that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pixelprobe.report.figures import classes as figure_classes
from pixelprobe.report.figures.fitness import fitness_charts
from pixelprobe.report.figures.rates import budget_charts, success_charts
from pixelprobe.report.figures.style import Chart
from pixelprobe.report.numbers import Numbers
from pixelprobe.report.reference import IMAGENET, dataset_of


@dataclass(frozen=True)
class Charts:
    """Each list is empty where there was nothing to draw."""

    success: list[Chart]
    reached: list[Chart]
    untargeted_pairs: list[Chart]
    targeted_pairs: list[Chart]
    fitness: list[Chart]
    budgets: list[Chart]

    @property
    def all(self) -> list[Chart]:
        """Every chart."""
        return [
            *self.success,
            *self.reached,
            *self.untargeted_pairs,
            *self.targeted_pairs,
            *self.fitness,
            *self.budgets,
        ]


def draw_charts(numbers: Numbers, classes: int, labels: Mapping[str, tuple[str, ...]]) -> Charts:
    """Draw everything; Fig. 3 to 5 only where the classes are few enough to be distinguished."""
    few_reached = numbers.reached if classes <= figure_classes.MOST_CLASSES else []
    few_pairs = numbers.pairs if classes <= figure_classes.MOST_CLASSES else []
    drawn = Charts(
        success=list(success_charts(numbers.table_3 if dataset_of(classes) is IMAGENET else numbers.table_2)),
        reached=list(figure_classes.reached_charts(few_reached)),
        untargeted_pairs=list(figure_classes.pair_charts(few_pairs, "untargeted", labels)),
        targeted_pairs=list(figure_classes.pair_charts(few_pairs, "targeted", labels)),
        fitness=list(fitness_charts(numbers.fitness)),
        budgets=list(budget_charts(numbers.budgets)),
    )
    return _with_names_of_their_own(drawn)


def _with_names_of_their_own(charts: Charts) -> Charts:
    """Two models' names may become one file name."""
    taken: set[str] = set()

    def named(chart: Chart) -> Chart:
        name, number = chart.name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{chart.name}-{number}"
        taken.add(name.casefold())
        return replace(chart, name=name)

    return Charts(**{section: [named(chart) for chart in own] for section, own in vars(charts).items()})
