"""The client's values. Protobuf messages never leave :mod:`pixelprobe.convert`.

Specs, regions, edits and states are those of :mod:`pixelprobe_services.common`; this module adds what only
a client sees: targets, campaigns, attacks and events as the server reports them. Values that hold arrays
compare by identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec, MaskSettings
from pixelprobe_services.common.values import (
    PAPER,
    AttackState,
    CampaignState,
    ClassScore,
    Edit,
    Goal,
    Held,
    InvalidSpecError,
    Outcome,
    Region,
    RegionMode,
    SearchSettings,
    Strategy,
)

__all__ = [
    "PAPER",
    "Attack", "AttackFinished", "AttackProgress", "AttackState", "Campaign", "CampaignChanged",
    "CampaignImage", "CampaignSpec", "CampaignState", "ClassScore", "Edit", "Event", "Goal", "Held",
    "InvalidSpecError", "MaskSettings", "Outcome", "Region", "RegionMode", "Result", "SearchSettings",
    "Strategy", "Target", "TargetCheck", "TargetFinding",
]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A classifier that can be attacked. While it is not available, sizes are 0 and labels empty.

    Attributes:
        weights_sha256: hex digest of the model's file; empty where the server does not report it.
        answers: what an attacker sees of each answer, "probabilities", "top_k" or "labels".
    """

    name: str
    available: bool
    unavailable_reason: str
    width: int
    height: int
    classes: int
    labels: tuple[str, ...]
    sparse_queries: bool
    weights_sha256: str = ""
    answers: str = ""

    def label(self, class_index: int) -> str | None:
        """Return a class's name, with its index where several share it; None where labels are unknown."""
        if not 0 <= class_index < len(self.labels):
            return None
        label = self.labels[class_index]
        return f"{label} ({class_index})" if self.labels.count(label) > 1 else label

    def class_indices(self, text: str) -> tuple[int, ...]:
        """Return the classes that ``text`` names: by label (in any case if none matches exactly) or index.

        Several classes can share a label, as ImageNet's "crane" does (the bird and the machine).
        """
        exact = [index for index, label in enumerate(self.labels) if label == text]
        folded = text.casefold()
        alike = exact or [index for index, label in enumerate(self.labels) if label.casefold() == folded]
        if alike:
            return tuple(alike)
        if text.isascii() and text.isdecimal() and int(text) < self.classes:
            return (int(text),)
        return ()


@dataclass(frozen=True)
class TargetFinding:
    """One line of a target's check; ``good`` is None for a measurement or what could not be found out."""

    name: str
    good: bool | None
    text: str


@dataclass(frozen=True)
class TargetCheck:
    """What a check of a target found.

    Attributes:
        metadata: what the server says of the model, a line each.
        top: the sample's best classes, best first.
        proposed_table: a table for the targets file that fits where the file's does not; may be empty.
        queries_sent: images sent to the target for this.
    """

    target: Target
    metadata: tuple[str, ...]
    findings: tuple[TargetFinding, ...]
    top: tuple[ClassScore, ...]
    proposed_table: str
    queries_sent: int

    @property
    def good(self) -> bool:
        """Whether the target can be attacked as it is configured."""
        return all(finding.good is not False for finding in self.findings)


@dataclass(frozen=True)
class Campaign:
    """A campaign on the server and its progress.

    Attributes:
        create_time: aware, in UTC; None where the server does not report it.
        end_time: None until it has ended.
        waits: it continues by itself once what ``state_reason`` names is available again.
        owner: the client that created it; empty where clients have no names.
        attacks_cancelled: how many of ``attacks_finished`` were cancelled.
    """

    name: str
    display_name: str
    state: CampaignState
    state_reason: str
    attacks_total: int
    attacks_finished: int
    queries_sent: int
    queries_skipped: int
    queries_repeated: int
    create_time: datetime | None = None
    end_time: datetime | None = None
    waits: bool = False
    owner: str = ""
    attacks_cancelled: int = 0
    queries_answered: int = 0
    queries_timed_out: int = 0
    queries_rejected: int = 0
    retries: int = 0

    @property
    def ended(self) -> bool:
        """Whether the campaign has stopped for good or until someone resumes it."""
        stopped = (CampaignState.SUCCEEDED, CampaignState.CANCELLED, CampaignState.PAUSED)
        return self.state in stopped and not self.waits


@dataclass(frozen=True, eq=False)
class Result:
    """How one attack ended.

    Attributes:
        clean_top: the clean image's most probable classes, best first; empty if it was never scored.
        best_top: those of the best candidate; the first is the class that a success reached.
        best_probability_of_clean_top: the best candidate's probability of each class of ``clean_top``.
        edits: the best candidate's changed pixels.
        generations: until the first success (the start population is 1); without one, all that ran.
        queries_to_success: queries sent when the first success was seen; 0 without one.
        first_success_query: number of the query that first met the goal, from 1; 0 without one.
        mask: (height, width) bool, the mask in use; None when no region needed one.
        region_area_fraction: share of the image that the attacked region covers, 0 to 1.
        queries_answered: of those sent; None where the server did not count it.
        queries_timed_out: of those sent: the deadline passed, or the connection broke.
        queries_rejected: turned away before the model ran; not among those sent.
        retries: queries, rejected ones included, that were sent again.
        clean_held: how often the clean image kept its class; None where it was asked for once.
        success_held: how often the success was one; None where it was not asked for again.
        answers: what the attacker saw, "probabilities", "top_k" or "labels"; empty where unknown.
        started_over: why what was found before was lost, and the attack started over; empty if it did not.
    """

    outcome: Outcome
    reason: str
    clean_top: tuple[ClassScore, ...]
    best_top: tuple[ClassScore, ...]
    best_probability_of_clean_top: tuple[float, ...]
    edits: tuple[Edit, ...]
    queries_sent: int
    queries_skipped: int
    queries_repeated: int
    generations: int
    queries_to_success: int
    fitness_by_generation: tuple[float, ...]
    mask: NDArray[np.bool_] | None
    region_area_fraction: float
    queries_answered: int | None = None
    queries_timed_out: int = 0
    queries_rejected: int = 0
    retries: int = 0
    clean_held: Held | None = None
    success_held: Held | None = None
    started_over: str = ""
    first_success_query: int = 0
    answers: str = ""


@dataclass(frozen=True)
class Attack:
    """One image x one target x one region x k pixels x one goal.

    Attributes:
        target_class: of a targeted attack; None is untargeted.
        result: None until the attack has finished.
    """

    name: str
    image_index: int
    target: str
    region: Region
    pixels: int
    target_class: int | None
    state: AttackState
    result: Result | None


@dataclass(frozen=True)
class CampaignChanged:
    """The campaign's state changed."""

    sequence: int
    campaign: Campaign


@dataclass(frozen=True)
class AttackFinished:
    """An attack ended; its result is set."""

    sequence: int
    attack: Attack


@dataclass(frozen=True)
class AttackProgress:
    """A running attack finished a generation."""

    sequence: int
    attack: str
    generation: int
    best_fitness: float
    queries_sent: int
    queries_answered: int = 0
    queries_timed_out: int = 0
    queries_rejected: int = 0
    retries: int = 0
    waiting_for: str = ""


Event = CampaignChanged | AttackFinished | AttackProgress
