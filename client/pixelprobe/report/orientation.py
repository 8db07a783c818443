"""The paper's own networks beside a model that it lacks: for orientation, never for a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pixelprobe.report.dataset import Dataset
from pixelprobe.report.reference import Reference
from pixelprobe.report.tables import TableRow, paper_drop


@dataclass(frozen=True)
class OtherNumber:
    """What the paper has for a network that was not attacked here, in the place of one of our numbers.

    Attributes:
        network: as the paper calls it.
        table: of our row, as are ``metric``, ``region`` and ``pixels``.
        value: in that row's unit.
    """

    network: str
    table: str
    metric: str
    region: str
    pixels: int | None
    value: float


def other_networks(rows: Iterable[TableRow], reference: Reference, dataset: Dataset) -> list[OtherNumber]:
    """The paper's numbers for all its networks on ``dataset``, wherever ``rows`` have one of ours.

    None if one of its networks was attacked here: then its numbers stand beside ours already.
    """
    rows = list(rows)
    if any(row.model in dataset.networks for row in rows):
        return []
    return list(dict.fromkeys(number for row in rows for number in _of_each(row, reference, dataset)))


def _of_each(row: TableRow, reference: Reference, dataset: Dataset) -> Iterator[OtherNumber]:
    for model, network in dataset.networks.items():
        if row.table == "drop":
            value = paper_drop([model], row.metric, row.region, row.pixels or 0, reference)
        else:
            value = reference.value(row.table, model, row.metric, row.region, row.pixels)
        if value is not None:
            yield OtherNumber(network, row.table, row.metric, row.region, row.pixels, value)
