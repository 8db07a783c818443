"""The classifiers that ship with the project, and those built into a zoo folder, read from their cards.

Used where models are served: reads ``NAME.json`` with the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from pixelprobe_deploy.modelzoo.errors import ModelZooError

WEIGHTS = Path(__file__).with_name("weights")
U2NET = "u2net"
"""The saliency model's name; its ``u2net.onnx`` lies in the zoo without a card."""


class WeightsError(ModelZooError):
    """A shipped model's card or weights are missing or damaged; the message names file and remedy."""


@dataclass(frozen=True)
class ShippedModel:
    """One classifier: input ``image`` UINT8 (n, height, width, 3) RGB, output ``probabilities`` FP32
    (n, classes). ``labels[i]`` names class i; ``sha256`` is the hex digest that ``path`` must have.
    """

    name: str
    path: Path
    sha256: str
    labels: tuple[str, ...]
    width: int
    height: int
    built: bool = False
    """On this machine, so that git has no copy to restore."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)

    def verify(self) -> None:
        """Check that the weights are there and are the ones of the card.

        Raises:
            WeightsError: the file is missing, unreadable or has another hash.
        """
        from_git = f"restore it with `git checkout -- {self.path.name}` in {self.path.parent}"
        remedy = (
            f"build it again with `python -m pixelprobe_deploy.modelzoo imagenet {self.name}`, or delete its "
            f"card "
            f"{self.path.with_suffix('.json')}"
            if self.built
            else f"{from_git}, or export it again"
        )
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise WeightsError(f"cannot read the weights {self.path} ({error.strerror}): {remedy}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != self.sha256:
            raise WeightsError(
                f"the weights {self.path} are not the ones of their card "
                f"(sha256 {found[:12]}..., expected {self.sha256[:12]}...): {remedy}"
            )


def shipped_models(folder: Path = WEIGHTS) -> list[ShippedModel]:
    """Every model with a card in ``folder``, by name. The weights themselves are not read: see ``verify``.

    Raises:
        WeightsError: there is no card at all, or one cannot be understood.
    """
    models = [_read(card, "restore it from git") for card in sorted(folder.glob("*.json"))]
    if not models:
        raise WeightsError(f"no model cards (*.json) in {folder}: restore the folder from the repository")
    return models


def zoo_models(folder: Path) -> list[ShippedModel]:
    """Every model with a card in ``folder``, as `python -m pixelprobe_deploy.modelzoo` put it; may be none.

    Raises:
        WeightsError: a card cannot be understood.
    """
    cards = sorted(folder.glob("*.json"))
    return [replace(_read(card, "delete it, or build the model again"), built=True) for card in cards]


def shipped_model(name: str, folder: Path = WEIGHTS) -> ShippedModel:
    """The model called ``name``.

    Raises:
        WeightsError: there is none of that name; the message lists those there are.
    """
    models = {model.name: model for model in shipped_models(folder)}
    if name not in models:
        raise WeightsError(f"no shipped model is called {name}; there are {', '.join(models)}")
    return models[name]


def _read(card: Path, remedy: str) -> ShippedModel:
    try:
        fields = json.loads(card.read_text(encoding="utf-8"))
        return ShippedModel(
            name=fields["name"],
            path=card.with_name(fields["file"]),
            sha256=fields["sha256"],
            labels=tuple(fields["labels"]),
            width=int(fields["width"]),
            height=int(fields["height"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"cannot read the model card {card}: {error!r}; {remedy}") from error
