"""What a spec file says, checked: frozen values, with nothing looked up yet on disk or on a server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pixelprobe.inputs.planned import PlanError
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import Region, SearchSettings

UNTARGETED = "untargeted"
ALL_CLASSES = "all"

MAX_PIXELS = 64
MAX_IMAGES = 100_000
MAX_REPEATS = 100
MAX_SEED = 2**64 - 1
"""The server's own limits."""


class SpecError(PlanError):
    """A spec file is off; the message is one line that names the file, the key and what was expected."""


class DataKind(StrEnum):
    """Where images come from."""

    CIFAR10 = "cifar10"
    IMAGENET = "imagenet"
    FOLDER = "folder"


@dataclass(frozen=True)
class DataSource:
    """The images to attack.

    Attributes:
        folder: where they are; None means that the command line has to say.
        split: of CIFAR-10 and ImageNet.
        count: how many to pick; None takes all.
        seed: picks them: the first of the order that it makes.
        class_folders: of a folder, whether its subfolders' names are the classes of the images in them.
        resize: how images that have not the target's size are brought to it; None refuses them.
    """

    kind: DataKind
    folder: Path | None
    split: str = "test"
    count: int | None = None
    seed: int = 0
    class_folders: bool = True
    resize: Sizing | None = None


@dataclass(frozen=True)
class AttackGroup:
    """Attacks that become one campaign: images x targets x regions x pixels x goals.

    Attributes:
        name: tells the groups of a spec apart; empty for the only one.
        count: the first so many of the picked images; None takes all.
        goals: "untargeted", "all" (each other class), or a class, by its label or index.
        budget: most queries an attack may send; None is no limit.
        repeats: queries for the clean image, and for each success again; None lets the target decide.
    """

    name: str
    count: int | None
    targets: tuple[str, ...]
    regions: tuple[Region, ...]
    pixels: tuple[int, ...]
    goals: tuple[str, ...]
    search: SearchSettings
    budget: int | None
    repeats: int | None = None


@dataclass(frozen=True)
class Spec:
    """A whole file.

    Attributes:
        path: the file, as it is named in messages.
        name: what the campaigns are called.
        seed: of all searches and control regions.
        segmenter: the method that makes masks; "" lets the segmentation service choose.
        accept_unreviewed: use masks that a person should look at first; else their images are left out.
        attack_misclassified: attack images that a target gets wrong before any change, too.
    """

    path: Path
    name: str
    seed: int
    data: DataSource
    groups: tuple[AttackGroup, ...]
    segmenter: str
    accept_unreviewed: bool
    attack_misclassified: bool
