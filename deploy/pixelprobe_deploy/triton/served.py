"""What a stack serves: the classifiers that ship, and what was built into zoo folders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_deploy.modelzoo.catalogue import U2NET, ShippedModel, WeightsError, shipped_models, zoo_models
from pixelprobe_deploy.triton.repository import EDITS_SUFFIX, Source


@dataclass(frozen=True)
class SaliencyFile:
    """A saliency model's name, its ONNX file and that file's sha256."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True)
class Served:
    """The models to serve. ``classifiers``: each as a target with its labels, and with a twin for edits."""

    classifiers: tuple[ShippedModel, ...]
    saliency: tuple[SaliencyFile, ...]

    def verify(self) -> None:
        """Check the classifiers' weights.

        Raises:
            WeightsError: those of one are missing or not the ones of its card.
        """
        for model in self.classifiers:
            model.verify()

    def sources(self) -> list[Source]:
        """What the model repository is built from."""
        classifiers = [Source(model.name, model.path) for model in self.classifiers]
        return classifiers + [Source(model.name, model.path) for model in self.saliency]

    def classifier_digests(self) -> dict[str, str]:
        """sha256 of the weights by name."""
        return {model.name: model.sha256 for model in self.classifiers}

    def saliency_digests(self) -> dict[str, str]:
        """sha256 of the ONNX file by name."""
        return {model.name: model.sha256 for model in self.saliency}


def find_served(*zoos: Path) -> Served:
    """The shipped classifiers, those with a card in ``zoos``, and ``u2net.onnx`` if it is there.

    What a later folder holds takes the place of an earlier one's of the same name.

    Raises:
        WeightsError: a card cannot be understood, or u2net.onnx is there and cannot be read.
    """
    built = {model.name: model for zoo in zoos for model in zoo_models(zoo)}
    saliency = {model.name: model for zoo in zoos for model in _saliency(zoo / f"{U2NET}.onnx")}
    return Served((*shipped_models(), *built.values()), tuple(saliency.values()))


def triton_names(classifiers: Iterable[str], saliency: Iterable[str]) -> list[str]:
    """Every model that Triton must have ready."""
    return [*(served for name in classifiers for served in (name, name + EDITS_SUFFIX)), *saliency]


def _saliency(path: Path) -> tuple[SaliencyFile, ...]:
    if not path.exists():
        return ()
    try:
        return (SaliencyFile(path.stem, path, hashlib.sha256(path.read_bytes()).hexdigest()),)
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
