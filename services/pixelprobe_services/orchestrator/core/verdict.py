"""Whether a search that met no goal says anything of the model: a failure needs answers.

A target that is slow, throttled or behind a cache must never look robust.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.values import Ledger, Outcome

SAME_ANSWERS = 100
"""So many different candidates, all answered exactly as the clean image, are no answers of a model."""


@dataclass
class AnswerWatch:
    """Watches whether a target's answers depend on the image at all.

    An answer of certainty (a probability of exactly 1) is not judged: rounding alone can make it last.

    Attributes:
        clean: the clean image's best classes and their probabilities, flat; empty once an answer differed.
        same: candidates answered exactly so.
    """

    clean: list[float] = field(default_factory=list)
    same: int = 0

    def start(self, top_classes: NDArray[np.integer], top_probabilities: NDArray[np.floating]) -> None:
        """Take the clean image's answer: (t,) classes and (t,) probabilities."""
        certain = float(top_probabilities[0]) in (0.0, 1.0)
        self.clean = [] if certain else _flat(top_classes[None], top_probabilities[None])[0].tolist()
        self.same = 0

    def see(self, top_classes: NDArray[np.integer], top_probabilities: NDArray[np.floating]) -> None:
        """Take the answers to ``n`` different candidates: (n, t) classes and (n, t) probabilities."""
        if not self.clean:
            return
        if (_flat(top_classes, top_probabilities) == np.array(self.clean)).all():
            self.same += len(top_classes)
        else:
            self.clean = []
            self.same = 0


def verdict(
    outcome: Outcome, reason: str, ledger: Ledger, *, any_candidate: bool, same_answers: int, knobs: str
) -> tuple[Outcome, str]:
    """The outcome and reason of an attack, as far as its answers bear them.

    A search that ended has all its answers; it is an error only where all of them are the same. A budget
    that ended the search is an error also where no candidate was answered, and where more queries were lost
    than answered; where some were lost, the reason says so.

    Args:
        outcome: as the search ended.
        reason: its reason, for people.
        ledger: the attack's queries.
        any_candidate: some candidate was answered.
        same_answers: :attr:`AnswerWatch.same`.
        knobs: what an operator can do about a target that does not answer in time.
    """
    if outcome not in (Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED):
        return outcome, reason
    if same_answers >= SAME_ANSWERS:
        return Outcome.ERROR, (
            f"the target gives the same answer to every image ({same_answers:,} different candidates):"
            " look for a cache or a filter in front of the model"
        )
    if outcome is Outcome.FAILURE:
        return outcome, reason
    lost = f"{ledger.timed_out:,} of {ledger.sent:,} queries were not answered (time-outs); {knobs}"
    if not any_candidate and ledger.timed_out:
        return Outcome.ERROR, f"no candidate was answered: {lost}"
    if not any_candidate:
        return Outcome.ERROR, f"no candidate was answered: {reason}"
    if ledger.timed_out > (ledger.answered or 0):
        return Outcome.ERROR, f"too few answers to call it a failure: {lost}"
    if ledger.timed_out:
        return outcome, f"{reason}; {lost}" if reason else lost
    return outcome, reason


def _flat(top_classes: NDArray[np.integer], top_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.concatenate([top_classes, top_probabilities], axis=1, dtype=np.float64)
