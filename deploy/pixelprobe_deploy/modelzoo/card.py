"""Model cards: ``weights/NAME.json`` for programs, and ``weights/NAME.md``, made from it, for readers.

Export writes a card without an accuracy; evaluation through Triton adds it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, PositiveInt, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pixelprobe_deploy.modelzoo.catalogue import WeightsError

CARD_VERSION = 1
_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Tensor:
    """One input or output of the exported graph, in KServe's terms; ``N`` is the batch."""

    name: str
    datatype: str
    shape: list[int | str]
    meaning: str


@dataclass(frozen=True, config=_STRICT)
class Training:
    """Progress of the training: ``steps`` of the recipe's ``planned_steps``."""

    steps: int
    planned_steps: int


@dataclass(frozen=True, config=_STRICT)
class TrainingData:
    """What it was trained on; ``images`` and ``encoding`` (PNG, JPEG) are null where they are unknown."""

    name: str
    split: str
    images: int | None
    encoding: str | None


@dataclass(frozen=True, config=_STRICT)
class ServedAccuracy:
    """``correct`` of ``images`` test images, classified by Triton over gRPC."""

    correct: int
    images: int
    encoding: str

    @property
    def rate(self) -> float:
        """Share classified correctly, 0 to 1."""
        return self.correct / self.images


@dataclass(frozen=True, config=_STRICT)
class Card:
    """All facts about one model; ``accuracy`` is null until it was measured here, ``training`` for models
    that were trained elsewhere.
    """

    name: str
    architecture: str
    file: str
    sha256: str
    size_bytes: PositiveInt
    parameters: PositiveInt
    labels: list[str]
    width: PositiveInt
    height: PositiveInt
    input: Tensor
    output: Tensor
    recipe: dict[str, Any]
    training: Training | None
    data: TrainingData
    versions: dict[str, str]
    accuracy: ServedAccuracy | None = None
    card_version: int = CARD_VERSION

    @property
    def provisional(self) -> bool:
        """Whether the model was exported before its training had reached the end of the recipe."""
        return self.training is not None and self.training.steps < self.training.planned_steps


def read_card(name: str, folder: Path) -> Card:
    """The card of model ``name``.

    Raises:
        WeightsError: there is none, or it is not a card of this version.
    """
    path = folder / f"{name}.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["card_version"] != CARD_VERSION:
            raise ValueError(f"card_version {fields['card_version']}, expected {CARD_VERSION}")
        return TypeAdapter(Card).validate_python(fields)
    except FileNotFoundError as error:
        known = ", ".join(sorted(card.stem for card in folder.glob("*.json"))) or "none"
        raise WeightsError(f"no model card {path}; cards there: {known}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise WeightsError(f"cannot read the model card {path}: {where}: {first['msg']}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"cannot read the model card {path}: {error!r}") from error


def save_card(card: Card, folder: Path) -> None:
    """Write both forms of the card, ``NAME.json`` and ``NAME.md``."""
    write_card(card, folder)
    (folder / f"{card.name}.md").write_text(render(card), encoding="utf-8")


def write_card(card: Card, folder: Path) -> None:
    """Write the card for programs, ``NAME.json``."""
    document = json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n"
    (folder / f"{card.name}.json").write_text(document, encoding="utf-8")


def with_accuracy(card: Card, accuracy: ServedAccuracy) -> Card:
    """The same card with the accuracy that was measured on the served model."""
    return replace(card, accuracy=accuracy)


@dataclass(frozen=True)
class _Origin:
    """What a network is in its paper, and where the shipped one departs from it."""

    paper: str
    departures: tuple[str, ...]


_NORM = (
    "Batch norm follows each convolution in training only: it is folded into the convolution for export, so "
    "the served network is the paper's plain stack of convolutions and ReLUs."
)
_ORIGINS = {
    "allconv": _Origin(
        "All-CNN-C of Springenberg, Dosovitskiy, Brox and Riedmiller, *Striving for Simplicity: The All "
        "Convolutional Net* (2015), table 1: its layers, widths and strides",
        (_NORM, "Dropout {dropout} after the two strided convolutions (paper: 0.5, and 0.2 on the input)."),
    ),
    "nin": _Origin(
        "Network in Network of Lin, Chen and Yan (2014): layers, widths and poolings of the authors' "
        "CIFAR-10 configuration",
        (_NORM, "Dropout {dropout} after the two poolings (paper: 0.5)."),
    ),
    "vgg16": _Origin(
        "VGG-16 (configuration D) of Simonyan and Zisserman, *Very Deep Convolutional Networks for "
        "Large-Scale Image Recognition* (2015): its thirteen convolutions and five poolings, for "
        "32x32 images",
        (
            "Five poolings leave 1x1x512 of a 32x32 image, so one hidden layer of 512 stands in for the "
            "paper's two of 4096.",
            "Batch norm follows each convolution in training (the paper has none); it is folded into the "
            "convolution for export, so the served network has none either.",
            "Dropout {dropout} around the hidden layer (paper: 0.5).",
        ),
    ),
}


def render(card: Card) -> str:
    """The card as Markdown."""
    origin = _ORIGINS[card.architecture]
    departures = "\n".join(f"- {line.format(**card.recipe)}" for line in origin.departures)
    labels = ", ".join(f"{index} {label}" for index, label in enumerate(card.labels))
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items())
    return f"""\
# {card.name}
{_status(card)}
| | |
| --- | --- |
| File | `{card.file}`: ONNX, {card.size_bytes / 1e6:.1f} MB |
| SHA-256 | `{card.sha256}` |
| Parameters | {card.parameters:,}, stored as float16 |
| Input | {_tensor(card.input)} |
| Output | {_tensor(card.output)} |
| Classes | {labels} |
| Made with | {versions} |
| Licence | Apache-2.0, as the project |

Cast, scaling, normalisation and softmax are inside the graph. The weights are cast to float32 when the model
is loaded; all arithmetic is float32.

## Accuracy

{_accuracy(card)}

## Architecture

{origin.paper}. Departures from the paper:

{departures}

## Training

{_training(card)}

## Intended use

A target for robustness measurements with pixelprobe: demonstrations, tests, and comparison with published
numbers for networks of about this accuracy. Not for deciding anything about real images: it knows ten
classes at 32x32, and one changed pixel can be enough to fool it.
"""


def _status(card: Card) -> str:
    if card.training is None:
        return ""
    if card.training.steps == 0:
        return "\n**Provisional: random weights, never trained. For wiring things up only.**\n"
    if card.provisional:
        return (
            f"\n**Provisional: exported after {card.training.steps:,} of {card.training.planned_steps:,} "
            "training steps. Not for measurements.**\n"
        )
    return ""


def _tensor(tensor: Tensor) -> str:
    shape = ", ".join(str(size) for size in tensor.shape)
    return f"`{tensor.name}` {tensor.datatype} [{shape}]: {tensor.meaning}"


def _accuracy(card: Card) -> str:
    if card.accuracy is None:
        return "Not measured yet."
    found = card.accuracy
    return (
        f"**{found.rate:.2%}**: {found.correct:,} of {found.images:,} images of the test split (stored as "
        f"{found.encoding}), classified by this file as Triton serves it, over gRPC."
    )


def _training(card: Card) -> str:
    recipe, data = card.recipe, card.data
    if card.training is None:
        return f"- By others: {recipe['weights']}."
    size = f"{data.images:,} images" if data.images is not None else "number of images not recorded"
    stored = f", stored as {data.encoding}" if data.encoding else ""
    restart = recipe.get("restart_epochs", 0)
    cycles = f"one-cycle learning rate with a peak of {recipe['peak_learning_rate']}"
    if restart:
        cycles += (
            f", then a second cycle of {restart} epochs with a peak of {recipe['restart_peak_learning_rate']}"
        )
    lossy = "; JPEG is a lossy copy, so expect another accuracy on the originals" * (data.encoding == "JPEG")
    facts = (
        f"Data: {data.name} (Krizhevsky, 2009), {data.split} split, {size}{stored}{lossy}.",
        f"Length: {card.training.steps:,} of {card.training.planned_steps:,} steps, which are "
        f"{recipe['epochs'] + restart} epochs in batches of {recipe['batch_size']}. Short, for a CPU: the "
        "papers train far longer.",
        f"Optimiser: SGD with Nesterov momentum {recipe['momentum']}, weight decay {recipe['weight_decay']}, "
        f"{cycles}; bfloat16 autocast; batch norm's statistics recomputed in float32 at the end.",
        f"Augmentation: random crops after padding by {recipe['crop_padding']} pixels, and mirroring.",
        f"Seed: {recipe['seed']}.",
    )
    return "\n".join(f"- {fact}" for fact in facts)
