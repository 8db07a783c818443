"""ImageNet's 1000 classes: WordNet id, name for people, and what WordNet and others call them.

The table, ``imagenet.tsv``, holds facts from two packages whose orders agree class by class: the ids of
timm 1.0.31 (``imagenet_synsets.txt``) with WordNet's lemmas (``imagenet_synset_to_lemma.txt``), and the names
that torchvision 0.29.1 lists as its weights' categories. A class's number is its place in the table: the ids
in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

WORDNET_ID = re.compile(r"n\d{8}")
"""Folders of ImageNet are named so: noun, and its offset in WordNet 3.0."""


@dataclass(frozen=True)
class ImageNetClass:
    """A class: its number (0 to 999), WordNet id, name, and other names, WordNet's lemmas first."""

    index: int
    wordnet_id: str
    name: str
    also_called: tuple[str, ...]


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """All classes, by number."""
    table = files("pixelprobe.inputs.datasets").joinpath("imagenet.tsv").read_text(encoding="utf-8")
    return tuple(_of_line(index, line) for index, line in enumerate(table.splitlines()))


@cache
def by_wordnet_id() -> dict[str, ImageNetClass]:
    """All classes, by WordNet id."""
    return {known.wordnet_id: known for known in imagenet_classes()}


def _of_line(index: int, line: str) -> ImageNetClass:
    wordnet_id, name, lemmas = line.split("\t")
    return ImageNetClass(index, wordnet_id, name, (*lemmas.split(", "), wordnet_id))
