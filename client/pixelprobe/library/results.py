"""Results of attacks as values for scripts and notebooks: arrays, labels, figures, records, data frames."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe.inputs.planned import PlannedImage
from pixelprobe.model import Attack, CampaignSpec, Edit, Outcome, Target
from pixelprobe.results.captions import attack_title as title_of
from pixelprobe.results.captions import class_name, describe_class, how_it_ended
from pixelprobe.results.gallery import apply_edits, attack_figure
from pixelprobe.results.records import AttackFiles, Record, attack_record, result_of

if TYPE_CHECKING:
    import pandas

_COLUMNS = ("image", "target", "region", "pixels", "outcome", "queries", "before", "after")


@dataclass(frozen=True, eq=False)
class AttackResult:
    """How one attack ended: one image, one target, one region, k pixels, one goal.

    Attributes:
        attack: the attack as the orchestrator reports it.
        image: (height, width, 3) uint8 RGB, the image that was attacked.
        target: the classifier.
        spec: the campaign that the attack belongs to.
        name: of the image.
    """

    attack: Attack
    image: NDArray[np.uint8]
    target: Target
    spec: CampaignSpec
    name: str

    @property
    def outcome(self) -> Outcome:
        """Success, failure, budget exhausted, not applicable, cancelled or error."""
        return result_of(self.attack).outcome

    @property
    def success(self) -> bool:
        """Whether the goal was met."""
        return self.outcome is Outcome.SUCCESS

    @property
    def reason(self) -> str:
        """Why the attack was left out or ended early, in words; empty otherwise."""
        return result_of(self.attack).reason

    @property
    def queries(self) -> int:
        """Queries sent, the clean image and retries included."""
        return result_of(self.attack).queries_sent

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Changed pixels of the best candidate; it met the goal only if :attr:`success`."""
        return result_of(self.attack).edits

    @property
    def best(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB, the best candidate found, whether or not it met the goal."""
        return apply_edits(self.image, self.edits)

    @property
    def adversarial(self) -> NDArray[np.uint8] | None:
        """(height, width, 3) uint8 RGB, the adversarial image; None without a success."""
        return self.best if self.success else None

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(height, width) bool, True is foreground; None if no region needed a mask."""
        return result_of(self.attack).mask

    @property
    def clean_label(self) -> str | None:
        """Name of the class of the clean image; None if it was not scored."""
        top = result_of(self.attack).clean_top
        return class_name(self.target, top[0].class_index) if top else None

    @property
    def adversarial_label(self) -> str | None:
        """Name of the class of the adversarial image; None without a success."""
        top = result_of(self.attack).best_top
        return class_name(self.target, top[0].class_index) if top and self.success else None

    def plot(self) -> Image.Image:
        """Draw the clean image, its mask and the best candidate, enlarged, with the changed pixels ringed."""
        result = result_of(self.attack)
        before = describe_class(self.target, result.clean_top[0]) if result.clean_top else "not scored"
        after = describe_class(self.target, result.best_top[0]) if result.best_top else "no candidate"
        return attack_figure(
            self.image,
            self.edits,
            self.mask,
            title=f"{self.name}: {title_of(self.attack, self.target)}",
            subtitle=how_it_ended(self.attack),
            before=before,
            after=after,
        )

    def to_dict(self) -> Record:
        """The record that ``pixelprobe attack --json`` prints; paths are None, as no file was written."""
        return attack_record(self.attack, Path(self.name), self.target, self.spec, AttackFiles())

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.plot().save(file, "PNG")
        return file.getvalue()

    def __repr__(self) -> str:
        change = f", {self.clean_label} -> {self.adversarial_label}" if self.success else ""
        return (
            f"<AttackResult {self.name} on {self.target.name}, {self.attack.region.value}, "
            f"{self.attack.pixels} px: {self.outcome.value}{change}, {self.queries} queries>"
        )


class AttackResults(Sequence[AttackResult]):
    """Results of a campaign, in the spec's order."""

    def __init__(self, results: Iterable[AttackResult]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> AttackResult: ...

    @overload
    def __getitem__(self, index: slice) -> AttackResults: ...

    def __getitem__(self, index: int | slice) -> AttackResult | AttackResults:
        if isinstance(index, slice):
            return AttackResults(self._results[index])
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[AttackResult]:
        return iter(self._results)

    @property
    def successes(self) -> AttackResults:
        """Those that met their goal."""
        return AttackResults(result for result in self._results if result.success)

    def to_dicts(self) -> list[Record]:
        """A record for each result, see :meth:`AttackResult.to_dict`."""
        return [result.to_dict() for result in self._results]

    def to_frame(self) -> pandas.DataFrame:
        """One row for each result, the keys of :meth:`AttackResult.to_dict` as columns.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("to_frame needs pandas: pip install pandas", name=error.name) from error
        return pandas.DataFrame(self.to_dicts())

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = "".join(f"<tr>{''.join(map(_cell, _row(result)))}</tr>" for result in self._results)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def __repr__(self) -> str:
        return f"<AttackResults: {len(self.successes)} of {len(self)} attacks succeeded>"


def _row(result: AttackResult) -> tuple[Any, ...]:
    return (
        result.name,
        result.target.name,
        result.attack.region.value,
        result.attack.pixels,
        result.outcome.value,
        result.queries,
        result.clean_label or "",
        result.adversarial_label or "",
    )


def _cell(value: object) -> str:
    return f"<td>{html.escape(str(value))}</td>"


def collect(
    attacks: Iterable[Attack], images: Sequence[PlannedImage], targets: Iterable[Target], spec: CampaignSpec
) -> AttackResults:
    """The results of a campaign's finished ``attacks``."""
    known = {target.name: target for target in targets}
    return AttackResults(
        AttackResult(
            attack,
            images[attack.image_index].image.pixels,
            known[attack.target],
            spec,
            images[attack.image_index].display_name,
        )
        for attack in attacks
    )
