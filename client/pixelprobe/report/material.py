"""All that a report is made of, before any number is worked out: what came from the server and from files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe.inputs.planned import PlanError
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
    """Facts about a model from files; ``note`` is a caution for readers of its numbers."""

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
        models: facts from files, by model.
        provenance: what the person who made the report adds, as JSON values.
        weights: the SHA-256 of its file, by model, where the server states it.
        orchestrator_version: of the one that handed out the results; empty if unknown.
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


ACCURACY_FORM = '{"MODEL": {"correct": 8556, "total": 10000}}, or a model card of the model zoo'


def read_models(accuracy_files: Sequence[Path], provenance: Mapping[str, Any]) -> dict[str, ModelFacts]:
    """Read facts about models from files, by name; a later file overrides an earlier one.

    An accuracy file holds ``{"MODEL": {"correct": C, "total": N}}`` for any number of models, or is a model
    card (``weights/NAME.json`` of the model zoo), which also states the hash of the weights and whether they
    are provisional. ``provenance["models"]["MODEL"]["sha256"]`` states a hash too.

    Raises:
        PlanError: a file cannot be read, or is of another form; the message names file and key.
    """
    found: dict[str, ModelFacts] = {}
    for path in accuracy_files:
        content = _object(path)
        if "card_version" in content:
            found[_text(content, "name", path)] = _card(content, path)
        else:
            found.update(
                {
                    model: ModelFacts(_accuracy(entry, "total", f"{path}: {model}"))
                    for model, entry in content.items()
                }
            )
    models = provenance.get("models", {})
    for model, entry in models.items() if isinstance(models, dict) else ():
        if isinstance(entry, dict) and isinstance(entry.get("sha256"), str):
            known = found.get(model, ModelFacts())
            found[model] = ModelFacts(known.accuracy, entry["sha256"], known.note)
    return found


def read_provenance(path: Path | None) -> dict[str, Any]:
    """A JSON object of whatever readers should know.

    Raises:
        PlanError: the file cannot be read or holds something else.
    """
    return {} if path is None else _object(path)


def _card(content: Mapping[str, Any], path: Path) -> ModelFacts:
    accuracy = content.get("accuracy")
    training = content.get("training")
    note = ""
    if isinstance(training, dict) and training.get("steps", 0) < training.get("planned_steps", 0):
        done, planned = training["steps"], training["planned_steps"]
        note = f"its weights are provisional, of {done:,} of {planned:,} training steps; not for measurements"
    return ModelFacts(
        accuracy=None if accuracy is None else _accuracy(accuracy, "images", f"{path}: accuracy"),
        sha256=_text(content, "sha256", path),
        note=note,
    )


def _accuracy(content: object, total_key: str, where: str) -> Accuracy:
    facts = content if isinstance(content, dict) else {}
    correct, total = facts.get("correct"), facts.get(total_key)
    if type(correct) is not int or type(total) is not int or not 0 <= correct <= total or not total:
        raise PlanError(f"{where}: expected {ACCURACY_FORM}, got {json.dumps(content)[:100]}")
    return Accuracy(correct, total)


def _text(content: Mapping[str, Any], key: str, path: Path) -> str:
    if not isinstance(content.get(key), str):
        raise PlanError(f"{path}: {key}: expected a text")
    return str(content[key])


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise PlanError(f"{path}: expected a JSON object")
    return content
