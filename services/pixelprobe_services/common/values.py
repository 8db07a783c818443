"""Values that the client and the services share: regions, states, edits, results, seeds. NumPy, no I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""An image: (height, width, 3) uint8 RGB."""

MaskArray = NDArray[np.bool_]
"""(height, width) bool; True is foreground."""

MIN_POPULATION, MAX_POPULATION = 4, 10_000
"""Candidates in a generation; differential evolution needs four."""

MAX_GENERATIONS = 100_000
MAX_MUTATION = 2.0


class InvalidSpecError(ValueError):
    """A campaign, attack or search is invalid; ``field`` is the path of the field at fault."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class IllegalTransitionError(Exception):
    """A state change that the life cycle does not allow."""


class Region(StrEnum):
    """The part of an image in which edits are allowed."""

    WHOLE = "whole"
    FOREGROUND = "foreground"
    BACKGROUND = "background"
    CONTROL = "control"


class RegionMode(StrEnum):
    """What happens to an edit outside the region.

    COMPOSITE undoes it (the paper, equations 17 and 18); PROJECT moves it to the region's nearest pixel.
    """

    COMPOSITE = "composite"
    PROJECT = "project"


PAPER = "paper"
"""The name of the paper's search, differential evolution with ``Strategy.RAND1BIN``."""


class Strategy(StrEnum):
    """How a search chooses candidates; the first two are the paper's differential evolution and a variant."""

    RAND1BIN = "rand1bin"
    BEST1BIN = "best1bin"
    RANDOM = "random"
    CORNER_SCAN = "corner-scan"
    SKETCH = "sketch"
    SPARSE_RS = "sparse-rs"
    SEEDED = "seeded"
    AUTO = "auto"

    @classmethod
    def of(cls, name: str) -> Strategy:
        """The strategy that a name stands for: its value, or ``PAPER``."""
        return cls.RAND1BIN if name == PAPER else cls(name)


class Outcome(StrEnum):
    """How an attack ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NOT_APPLICABLE = "not_applicable"
    BUDGET_EXHAUSTED = "budget_exhausted"
    CANCELLED = "cancelled"
    ERROR = "error"


class CampaignState(StrEnum):
    """State of a campaign.

    A WAITING campaign continues by itself once what it needs is available again; a PAUSED one has to be
    resumed.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


class AttackState(StrEnum):
    """State of an attack."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"


LEGAL_TRANSITIONS: dict[CampaignState, frozenset[CampaignState]] = {
    CampaignState.PENDING: frozenset(
        {CampaignState.RUNNING, CampaignState.WAITING, CampaignState.PAUSED, CampaignState.CANCELLED}
    ),
    CampaignState.RUNNING: frozenset(
        {CampaignState.WAITING, CampaignState.PAUSED, CampaignState.SUCCEEDED, CampaignState.CANCELLED}
    ),
    CampaignState.WAITING: frozenset(
        {CampaignState.RUNNING, CampaignState.PAUSED, CampaignState.SUCCEEDED, CampaignState.CANCELLED}
    ),
    CampaignState.PAUSED: frozenset({CampaignState.RUNNING, CampaignState.CANCELLED}),
    CampaignState.CANCELLED: frozenset({CampaignState.RUNNING}),
    CampaignState.SUCCEEDED: frozenset(),
}


def check_transition(old: CampaignState, new: CampaignState) -> None:
    """Raise IllegalTransitionError unless a campaign may change from ``old`` to ``new``."""
    if new not in LEGAL_TRANSITIONS[old]:
        raise IllegalTransitionError(f"a campaign that is {old.value} cannot become {new.value}")


@dataclass(frozen=True)
class Goal:
    """The class that an attack tries to reach.

    ``Goal()`` is untargeted: any class but the clean image's. ``Goal(7)`` is targeted: class 7.
    """

    target_class: int | None = None

    def __str__(self) -> str:
        return "untargeted" if self.target_class is None else f"targeted:{self.target_class}"


@dataclass(frozen=True)
class SearchSettings:
    """Parameters of the search; the defaults are the paper's (section IV-B), or SciPy's where it has none.

    Attributes:
        population: candidates in a generation.
        generations: at most so many after the start population.
        crossover_rate: CR in [0, 1].
        mutation_low: F is drawn from [mutation_low, mutation_high) once a generation.
        early_stop: stop at the first success.
        stop_check_queries: queries sent between two checks for a success.

    Raises:
        InvalidSpecError: a value is out of its range.
    """

    strategy: Strategy = Strategy.RAND1BIN
    population: int = 400
    generations: int = 100
    crossover_rate: float = 0.7
    mutation_low: float = 0.5
    mutation_high: float = 1.0
    region_mode: RegionMode = RegionMode.COMPOSITE
    early_stop: bool = True
    stop_check_queries: int = 100

    def __post_init__(self) -> None:
        if not MIN_POPULATION <= self.population <= MAX_POPULATION:
            raise InvalidSpecError(
                "search.population", f"{self.population} is not in {MIN_POPULATION} to {MAX_POPULATION}"
            )
        if not 1 <= self.generations <= MAX_GENERATIONS:
            raise InvalidSpecError(
                "search.generations", f"{self.generations} is not in 1 to {MAX_GENERATIONS}"
            )
        if not 0.0 <= self.crossover_rate <= 1.0:
            raise InvalidSpecError("search.crossover_rate", f"{self.crossover_rate} is not in [0, 1]")
        if not 0.0 <= self.mutation_low <= self.mutation_high <= MAX_MUTATION:
            raise InvalidSpecError(
                "search.mutation_low",
                f"[{self.mutation_low}, {self.mutation_high}) is not an interval in [0, {MAX_MUTATION:g}]",
            )
        if self.stop_check_queries < 1:
            raise InvalidSpecError("search.stop_check_queries", f"{self.stop_check_queries} is not positive")


@dataclass(frozen=True)
class Edit:
    """One changed pixel: column ``x``, row ``y`` and the new colour, 0 to 255 each."""

    x: int
    y: int
    red: int
    green: int
    blue: int


@dataclass(frozen=True)
class ClassScore:
    """A class index and its probability."""

    class_index: int
    probability: float


class Fate(StrEnum):
    """What became of queries that were reserved."""

    ANSWERED = "answered"
    TIMED_OUT = "timed_out"
    """Sent, and no answer came: the deadline passed, or the connection broke. They may have been scored."""
    REJECTED = "rejected"
    """Turned away before the model ran."""
    REFUSED = "refused"
    """The target answered with an error, or with nonsense."""


@dataclass(frozen=True)
class Ledger:
    """Queries of one attack, or of all attacks of a campaign.

    Attributes:
        sent: queries that the model may have scored, retries and the clean image included. An attack's
            budget counts these.
        skipped: candidates without an edit inside the region, answered by the clean image's scores.
        repeated: candidates answered from the attack's memory.
        answered: queries of ``sent`` that were answered; None where it was not counted (results that an
            earlier version stored).
        timed_out: queries of ``sent`` without an answer: the deadline passed or the connection broke.
        rejected: queries that the target turned away before its model ran; none of them is in ``sent``.
        retries: queries, rejected ones included, that went out again.
    """

    sent: int = 0
    skipped: int = 0
    repeated: int = 0
    answered: int | None = None
    timed_out: int = 0
    rejected: int = 0
    retries: int = 0

    def __add__(self, other: Ledger) -> Ledger:
        counted = [one.answered for one in (self, other) if one.answered is not None]
        return Ledger(
            self.sent + other.sent,
            self.skipped + other.skipped,
            self.repeated + other.repeated,
            sum(counted) if counted else None,
            self.timed_out + other.timed_out,
            self.rejected + other.rejected,
            self.retries + other.retries,
        )


@dataclass(frozen=True)
class AttackKey:
    """Identity of an attack within a campaign; with the campaign's seed, the input of the attack's seed."""

    image_digest: str
    target: str
    region: Region
    pixels: int
    goal: Goal


@dataclass(frozen=True)
class Held:
    """How often an answer stayed the same: ``held`` of ``asked`` equal queries gave it."""

    held: int
    asked: int


@dataclass(frozen=True)
class AttackResult:
    """How one attack ended; ``result.proto`` documents each field."""

    outcome: Outcome
    reason: str = ""
    clean_top: tuple[ClassScore, ...] = ()
    best_top: tuple[ClassScore, ...] = ()
    best_probability_of_clean_top: tuple[float, ...] = ()
    edits: tuple[Edit, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    generations: int = 0
    fitness_by_generation: tuple[float, ...] = ()
    queries_to_success: int = 0
    region_area_fraction: float = 0.0
    clean_held: Held | None = None
    success_held: Held | None = None
    started_over: str = ""
    first_success_query: int = 0
    answers: str = ""


def image_digest(image: Pixels) -> str:
    """Return the SHA-256 in hex over width and height (4 bytes each, big-endian) and the RGB bytes."""
    height, width, _ = image.shape
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return hashlib.sha256(header + np.ascontiguousarray(image).tobytes()).hexdigest()


def attack_seed(campaign_seed: int, key: AttackKey) -> int:
    """Return an attack's 128-bit seed, which depends on these values alone, never on order or time."""
    parts = (
        "pixelprobe-attack-seed-1",
        str(campaign_seed),
        key.target,
        key.image_digest,
        key.region.value,
        str(key.pixels),
        str(key.goal),
    )
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:16], "big")


def control_seed(campaign_seed: int, image_digest: str) -> int:
    """Return the 128-bit seed of an image's control region, the same for all attacks of a campaign on it."""
    parts = ("pixelprobe-control-region-1", str(campaign_seed), image_digest)
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:16], "big")
