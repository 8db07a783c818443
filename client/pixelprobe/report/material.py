"""All that a report is made of, before any number is worked out: what came from the server and from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe.model import Campaign, CampaignSpec, ClassScore, Edit, Outcome
from pixelprobe.report.metrics.evaluation import Evaluation
from pixelprobe.report.tables import Accuracy


@dataclass(frozen=True)
class ReportedCampaign:
    """A campaign as it stood when its results were read, and what was asked of it.

    Attributes:
        cancelled: attacks that count as finished because the campaign was cancelled, and have no outcome.
    """

    campaign: Campaign
    spec: CampaignSpec
    cancelled: int = 0


@dataclass(frozen=True)
class Shot:
    """One attack in the gallery.

    Attributes:
        outcome: None where there was no such attack.
        before: the clean class; None if the image was never scored.
        after: the best candidate's class, of successes.
        edits: the changed pixels, of successes.
    """

    target: str
    region: str
    pixels: int
    outcome: Outcome | None
    before: ClassScore | None = None
    after: ClassScore | None = None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, eq=False)
class GalleryImage:
    """An image with all its attacks in the gallery.

    Attributes:
        pixels: (height, width, 3) uint8, the clean image.
        mask: (height, width) bool, True is foreground; None where no mask was in use.
    """

    name: str
    digest: str
    label: int | None
    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_] | None
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Gallery:
    """Images as in Fig. 1, all attacked alike; ``missing`` says why there are none."""

    images: tuple[GalleryImage, ...] = ()
    pixels: int = 1
    missing: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """What files tell about a model; ``note`` is something that readers of its numbers must know."""

    accuracy: Accuracy | None = None
    sha256: str = ""
    note: str = ""


@dataclass(frozen=True)
class Material:
    """See the module's docstring.

    Attributes:
        campaigns: in the order in which their attacks were taken; the first attack of a kind counts.
        evaluation: all attacks.
        fitness: those for Fig. 6: of the campaigns without early stop, where there are any.
        classes: how many each model knows.
        labels: the classes' names, by model; models without names are missing.
        models: what files tell, by model.
        provenance: what the person who made the report adds, as JSON values.
        weights: the SHA-256 of its file, by model, where the server told.
        orchestrator_version: of the one that handed out the results; empty if it did not tell.
        notes: what readers should know about how it was put together.
    """

    campaigns: tuple[ReportedCampaign, ...]
    evaluation: Evaluation
    fitness: Evaluation
    classes: int
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=Gallery)
    models: Mapping[str, ModelFacts] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    orchestrator_version: str = ""
    notes: tuple[str, ...] = ()

    def class_name(self, model: str, index: int) -> str:
        """A class by its name, or its number where that is not known."""
        labels = self.labels.get(model, ())
        return labels[index] if index < len(labels) else f"class {index}"
