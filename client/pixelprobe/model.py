"""What the client speaks in: frozen values, so that nobody who calls the API ever sees a protobuf message.

Those that hold arrays compare by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Region(StrEnum):
    """Where edits may land."""

    WHOLE = "whole"
    FOREGROUND = "foreground"
    BACKGROUND = "background"
    CONTROL = "control"


class RegionMode(StrEnum):
    """How edits are kept in the region: undone outside it (the paper), or moved to its nearest pixel."""

    COMPOSITE = "composite"
    PROJECT = "project"


class Strategy(StrEnum):
    """Differential evolution's mutation and crossover."""

    RAND1BIN = "rand1bin"
    BEST1BIN = "best1bin"


class Outcome(StrEnum):
    """How an attack ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NOT_APPLICABLE = "not_applicable"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CANCELLED = "cancelled"
    ERROR = "error"


class CampaignState(StrEnum):
    """Where a campaign is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    WAITING = "waiting"


class AttackState(StrEnum):
    """Where an attack is in its life."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


class Edit(NamedTuple):
    """One changed pixel: column, row, and its new colour (0 to 255 each)."""

    x: int
    y: int
    red: int
    green: int
    blue: int


class ClassScore(NamedTuple):
    """A class by index and its probability."""

    class_index: int
    probability: float


@dataclass(frozen=True)
class Target:
    """A classifier that may be attacked. Sizes are 0 and labels empty while it is not available.

    ``weights_sha256``: the hex digest of its file; empty where the server does not tell.
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

    def label(self, class_index: int) -> str | None:
        """The name of a class, where the target's labels are known; with its number where others share it."""
        if not 0 <= class_index < len(self.labels):
            return None
        label = self.labels[class_index]
        return f"{label} ({class_index})" if self.labels.count(label) > 1 else label

    def class_indices(self, text: str) -> tuple[int, ...]:
        """The classes that ``text`` may mean: an index, or a label, in any case where none fits exactly.

        Several have that label, as with ImageNet's "crane", bird and machine; none is there if none fits.
        """
        exact = [index for index, label in enumerate(self.labels) if label == text]
        folded = text.casefold()
        alike = exact or [index for index, label in enumerate(self.labels) if label.casefold() == folded]
        if alike:
            return tuple(alike)
        if text.isascii() and text.isdecimal() and int(text) < self.classes:
            return (int(text),)
        return ()


@dataclass(frozen=True, eq=False)
class CampaignImage:
    """A campaign's image: its uploaded digest, a name for people, and its true class and mask if known."""

    digest: str
    display_name: str = ""
    label: int | None = None
    mask: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class SearchOptions:
    """Parameters of the search; the defaults are the paper's.

    Attributes:
        crossover_rate: CR in [0, 1]; the paper does not tell its own.
        mutation_low: F is drawn from [mutation_low, mutation_high) once a generation.
    """

    strategy: Strategy = Strategy.RAND1BIN
    population: int = 400
    generations: int = 100
    region_mode: RegionMode = RegionMode.COMPOSITE
    early_stop: bool = True
    crossover_rate: float = 0.7
    mutation_low: float = 0.5
    mutation_high: float = 1.0


@dataclass(frozen=True)
class CampaignSpec:
    """A set of attacks: images x targets x regions x pixel counts x goals, in that order.

    Attributes:
        goals: None is untargeted, a number the class to reach.
        budget: most queries an attack may send, the clean one included; None is no limit.
        segmenter: id of the segmentation service's method for images without a mask; "" lets it choose.
        accept_unreviewed: use masks that a person should look at first.
        image_preparation: how images were brought to the targets' size, for people; "" where nobody told.
    """

    images: tuple[CampaignImage, ...]
    targets: tuple[str, ...]
    regions: tuple[Region, ...] = (Region.WHOLE,)
    pixel_counts: tuple[int, ...] = (1,)
    goals: tuple[int | None, ...] = (None,)
    search: SearchOptions = field(default_factory=SearchOptions)
    budget: int | None = None
    seed: int = 0
    display_name: str = ""
    segmenter: str = ""
    accept_unreviewed: bool = False
    attack_misclassified: bool = False
    image_preparation: str = ""

    @property
    def attack_count(self) -> int:
        """How many attacks it stands for."""
        goals = len(self.pixel_counts) * len(self.goals)
        return len(self.images) * len(self.targets) * len(self.regions) * goals


@dataclass(frozen=True)
class Campaign:
    """A campaign on the server, and how far it is.

    Attributes:
        create_time: aware, in UTC; None where the server does not tell.
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
        """Nothing more will happen by itself."""
        stopped = (CampaignState.SUCCEEDED, CampaignState.CANCELLED, CampaignState.PAUSED)
        return self.state in stopped and not self.waits


class Repeats(NamedTuple):
    """The same image asked for ``asked`` times: ``held`` answers agreed."""

    held: int
    asked: int


@dataclass(frozen=True, eq=False)
class Result:
    """How one attack ended.

    Attributes:
        clean_top: the clean image's best classes, best first; empty if it was never scored.
        best_top: the best candidate's, best first; the first is the class of a success.
        best_probability_of_clean_top: the best candidate's, of each class of clean_top, where known.
        edits: the best candidate's changed pixels.
        generations: of a success, the one that met the goal (the start population is 1); else those run.
        queries_to_success: queries sent when the first success was seen; 0 without one.
        mask: (height, width) bool, the mask in use; None when no region needed one.
        region_area_fraction: share of the image that the attacked region covers.
        queries_answered: of those sent; None where the server did not count it.
        queries_timed_out: of those sent: the deadline passed, or the connection broke.
        queries_rejected: turned away before the model ran; not among those sent.
        retries: queries, rejected ones included, that were sent again.
        clean_held: how often the clean image kept its class; None where it was asked for once.
        success_held: how often the success was one; None where it was not asked for again.
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
    clean_held: Repeats | None = None
    success_held: Repeats | None = None


@dataclass(frozen=True)
class Attack:
    """One image x one target x one region x k pixels x one goal. ``result`` is set once it has finished."""

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
    """An attack goes on."""

    sequence: int
    attack: str
    generation: int
    best_fitness: float
    queries_sent: int
    queries_answered: int = 0
    queries_timed_out: int = 0
    queries_rejected: int = 0
    retries: int = 0


Event = CampaignChanged | AttackFinished | AttackProgress
