"""What one attack asks its target: the clean image, candidates, and successes again."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import ClassScore, Edit, Goal, Held, Pixels
from pixelprobe_services.orchestrator.core.goal import is_success, scored_class
from pixelprobe_services.orchestrator.query.batcher import Batcher
from pixelprobe_services.orchestrator.query.budget import Budget
from pixelprobe_services.orchestrator.query.fusion import Ask
from pixelprobe_services.orchestrator.store.base import AttackRecord
from pixelprobe_services.orchestrator.targets.base import Scores

FEW_CLASSES = 16
"""Up to so many classes, the clean image's best are asked for along with the goal's: it costs nothing. With
more, a search goes without, and a failed attack's best candidate is asked about once more at its end."""


@dataclass(frozen=True, eq=False)
class CleanAnswer:
    """The answer to the unchanged image: that of most queries, where it was asked for more than once.

    Attributes:
        top: its best classes, best first.
        probability: of the goal's target class, or else of the best class.
        held: how often its class was the same; None where it was asked for once.
        classes: (t,) int32, the classes of ``top``.
        probabilities: (t,) float32, theirs.
    """

    top: tuple[ClassScore, ...]
    probability: float
    held: Held | None
    classes: NDArray[np.int32]
    probabilities: NDArray[np.float32]


class Questions:
    """One attack's queries on one image, all within its budget.

    Args:
        record: the attack.
        image: (height, width, 3) uint8 RGB, the clean image.
        batcher: of the attack's target.
        budget: of the attack.
        repeats: how often the clean image is asked for, and each success again.
    """

    def __init__(
        self, record: AttackRecord, image: Pixels, batcher: Batcher, budget: Budget, repeats: int
    ) -> None:
        self.image = image
        self.repeats = repeats
        self._record = record
        self._batcher = batcher
        self._budget = budget

    @property
    def _goal(self) -> Goal:
        return self._record.key.goal

    async def clean(self) -> CleanAnswer:
        """Query the image as it is: an edit that paints a pixel in its own colour."""
        red, green, blue = self.image[0, 0]
        unchanged = np.array([[[0, 0, red, green, blue]]], dtype=np.int16)
        target = self._goal.target_class
        scores = await self._query(np.repeat(unchanged, self.repeats, axis=0), [target or 0])
        classes, counts = np.unique(scores.top_classes[:, 0], return_counts=True)
        usual = int(np.flatnonzero(scores.top_classes[:, 0] == classes[counts.argmax()])[0])
        return CleanAnswer(
            top=top_of(scores, usual),
            probability=float(
                scores.top_probabilities[usual, 0] if target is None else scores.class_probabilities[usual, 0]
            ),
            held=Held(int(counts.max()), self.repeats) if self.repeats > 1 else None,
            classes=scores.top_classes[usual],
            probabilities=scores.top_probabilities[usual],
        )

    async def candidates(self, edits: NDArray[np.int16], clean_top: tuple[ClassScore, ...]) -> Scores:
        """Score candidates, (n, k, 5) int16: of the scored class, then, where classes are few, of the clean
        image's best.

        Raises:
            BudgetExhaustedError: retries have used up the budget; holds what was answered.
        """
        scored = scored_class(self._goal, clean_top[0].class_index)
        if self._batcher.info.classes > FEW_CLASSES:
            return await self._query(edits, [scored])
        return await self._query(edits, [scored, *(score.class_index for score in clean_top)])

    async def again(self, edits: NDArray[np.int16], clean_class: int) -> Held:
        """Ask for a candidate that met the goal again, (k, 5) int16, as often as the budget allows.

        Returns:
            How often it met the goal; ``asked`` is 0 where the budget had no query left.
        """
        asked = self._budget.affordable(self.repeats)
        if not asked:
            return Held(0, 0)
        scores = await self._query(
            np.repeat(edits[None], asked, axis=0), [scored_class(self._goal, clean_class)]
        )
        met = is_success(self._goal, clean_class, scores.top_classes[:, 0])
        return Held(int(met.sum()), asked)

    async def probabilities_of(
        self, edits: tuple[Edit, ...], clean_top: tuple[ClassScore, ...]
    ) -> tuple[float, ...]:
        """The probabilities that a candidate has of the clean image's best classes; one query.

        Empty where the budget has none left.
        """
        if not self._budget.affordable(1):
            return ()
        candidate = np.array([[astuple(edit) for edit in edits]], dtype=np.int16)
        scores = await self._query(candidate, [score.class_index for score in clean_top])
        return tuple(map(float, scores.class_probabilities[0]))

    async def _query(self, edits: NDArray[np.int16], classes: list[int]) -> Scores:
        ask = Ask(self.image, self._record.key.image_digest, edits, np.array(classes, dtype=np.int32))
        return await self._batcher.query(self._record.id, ask, self._budget)


def top_of(scores: Scores, row: int | np.intp) -> tuple[ClassScore, ...]:
    """The best classes of one answer, best first."""
    return tuple(
        ClassScore(int(index), float(probability))
        for index, probability in zip(scores.top_classes[row], scores.top_probabilities[row], strict=True)
    )
