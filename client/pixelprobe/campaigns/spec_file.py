"""Campaign spec files: TOML files, read and checked; those that come with the package go by name.

A file with every key; only ``name``, ``data.kind`` and the targets are required::

    name = "mine"                       # letters, digits, dots, hyphens and underscores
    seed = 0                            # of all searches
    targets = ["allconv_cifar10"]       # by name
    regions = ["whole", "foreground", "background", "control"]      # default: whole
    pixels = [1, 3, 5]                  # default: 1
    goals = ["untargeted", "all"]       # or classes; "all": each other class; default: untargeted
    budget = 10000                      # most queries an attack; default: no limit
    repeats = 3                         # queries for the clean image, and for each success again; default:
                                        # 1 for targets known to be deterministic, 3 for others

    [data]
    kind = "cifar10"                    # or "imagenet", or "folder": any folder of images
    folder = "data"                     # from this file's folder; --data overrides it
    split = "test"                      # cifar10: test or train; imagenet: val or train
    count = 500                         # default: all
    seed = 0                            # picks them
    only_correct = true                 # leave out what a target gets wrong before any change
    class_folders = true                # folder only: subfolders are classes
    resize = false                      # images of another size than the targets' are refused; or "crop"
                                        # (or true): centred crop; "stretch": the paper's; "short-side-256"

    [masks]
    method = "auto"                     # of the segmentation service
    accept_unreviewed = false           # true: use masks that need a person's review

    [search]
    population = 400
    generations = 100
    early_stop = true
    algorithm = "paper"                 # or rand1bin (the same), best1bin, auto, corner-scan, sketch,
                                        # sparse-rs, seeded, random; "strategy" is an older name of this key
    region_mode = "composite"           # or "project"
    crossover_rate = 0.7
    mutation = [0.5, 1.0]

    [[attacks]]                         # any number of groups, each a campaign of its own; every key but name
    name = "five"                       # and count overrides the one above
    count = 30                          # the first of the images, so that groups share them
    pixels = [5]
    search = { generations = 10 }
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from pixelprobe.inputs.planned import PlanError
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import PAPER, Region, RegionMode, SearchSettings, Strategy
from pixelprobe_services.common.spec import MAX_IMAGES, MAX_PIXELS, MAX_REPEATS, MAX_SEED
from pixelprobe_services.common.toml import FileError, read_toml
from pixelprobe_services.common.validation import (
    DISTINCT,
    FileModel,
    Flag,
    Number,
    Text,
    Whole,
    check,
    expected,
    shown,
)
from pixelprobe_services.common.values import MAX_GENERATIONS, MAX_MUTATION, MAX_POPULATION, MIN_POPULATION

UNTARGETED = "untargeted"
ALL_CLASSES = "all"
AUTO = "auto"
NAME_RULE = "letters, digits, dots, hyphens and underscores, at most 60"
_GOALS = f'"{UNTARGETED}", "{ALL_CLASSES}" (each other class), or a class by its label or index'
_MAX_QUERIES = 2**62
_DEFAULTS = SearchSettings()


class SpecError(PlanError):
    """A spec file is invalid; the message is one line that names the file, the key and what was expected."""


class DataKind(StrEnum):
    """Kinds of data sets."""

    CIFAR10 = "cifar10"
    IMAGENET = "imagenet"
    FOLDER = "folder"


@dataclass(frozen=True)
class DataSource:
    """The images to attack.

    Attributes:
        folder: where they are; None if the command line has to say.
        split: of CIFAR-10 and ImageNet.
        count: how many to pick; None takes all.
        seed: of the order in which they are picked.
        class_folders: whether the subfolders of a folder are the classes of the images in them.
        resize: how images of another size than the targets' are brought to it; None refuses them.
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
        name: unique within a spec; empty for its only group.
        count: how many of the picked images, from the first; None takes all.
        goals: "untargeted", "all" (each other class), or a class by its label or index.
        budget: most queries that an attack may send; None is no limit.
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
    """A spec file, checked; nothing of it has been looked up on disk or on a server.

    Attributes:
        path: the file, as messages name it.
        name: first part of the campaigns' names.
        seed: of all searches and control regions.
        segmenter: method that makes masks; "" lets the segmentation service choose.
        accept_unreviewed: use masks that need a person's review; otherwise their images are left out.
        attack_misclassified: also attack images that a target gets wrong before any change.
    """

    path: Path
    name: str
    seed: int
    data: DataSource
    groups: tuple[AttackGroup, ...]
    segmenter: str
    accept_unreviewed: bool
    attack_misclassified: bool


def shipped_specs() -> dict[str, Path]:
    """Return the specs that come with the package, by name."""
    folder = Path(str(files("pixelprobe.campaigns.shipped")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def new_spec(name: str) -> str:
    """Return the text of a spec to start from, with every key at its default and explained."""
    template = files("pixelprobe.campaigns.shipped").joinpath("new.toml.template")
    return template.read_text(encoding="utf-8").replace("NAME", name, 1)


def find_spec(text: str) -> Path:
    """Return the file that ``text`` names: a path, or a shipped spec where there is no such file.

    Raises:
        SpecError: it names neither.
    """
    path = Path(text)
    if path.is_file():
        return path
    shipped = shipped_specs()
    if path.name == text and path.name.removesuffix(".toml") in shipped:
        return shipped[path.name.removesuffix(".toml")]
    what = "not a file" if path.exists() else "no such file"
    raise SpecError(f"{text}: {what}; shipped specs go by name: {', '.join(shipped)}")


def read_spec(path: Path) -> Spec:
    """Read and check a spec file.

    Raises:
        SpecError: it cannot be read, is no TOML, or something in it is invalid.
    """
    try:
        return _spec(path, check(_File, read_toml(path), path))
    except FileError as error:
        raise SpecError(str(error)) from error


# The tables of a file. Their defaults are the file format's; a group overrides only what its table says.

_Name = Annotated[
    str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$", description=NAME_RULE)
]
_Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED)]
_Count = Annotated[Whole, Field(ge=1, le=MAX_IMAGES)]


def _sizing(value: Any) -> Sizing | None:
    if isinstance(value, bool):
        return Sizing.CROP if value else None
    if value in [how.value for how in Sizing]:
        return Sizing(value)
    raise expected(f"true, false or one of {', '.join(how.value for how in Sizing)}")


def _goal(value: Any) -> str:
    is_index = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if is_index or (isinstance(value, str) and value.strip()):
        return str(value)
    raise expected(_GOALS)


def _interval(value: Any) -> tuple[float, float]:
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) != 2 or not 0 <= value[0] <= value[1] <= MAX_MUTATION:
        raise expected(f"two numbers from 0 to {MAX_MUTATION:g}, the smaller one first")
    return float(value[0]), float(value[1])


def _strategy(value: Any) -> Strategy:
    names = [PAPER, *(strategy.value for strategy in Strategy)]
    if value not in names:
        raise expected(f"one of {', '.join(names)}")
    return Strategy.of(value)


class _Data(FileModel):
    folder: Annotated[Text, Field(description="a folder")] | None = None
    count: _Count | None = None
    seed: _Seed = 0
    resize: Annotated[Sizing | None, PlainValidator(_sizing)] = None
    only_correct: Flag = True


class _Cifar10(_Data):
    kind: Literal["cifar10"]
    split: Literal["test", "train"] = "test"


class _ImageNet(_Data):
    kind: Literal["imagenet"]
    split: Literal["val", "train"] = "val"


class _Folder(_Data):
    kind: Literal["folder"]
    class_folders: Flag = True


class _Masks(FileModel):
    method: Annotated[Text, Field(description='"auto" or the id of a segmentation method')] = AUTO
    accept_unreviewed: Flag = False


class _Search(FileModel):
    algorithm: Annotated[Strategy, PlainValidator(_strategy)] = _DEFAULTS.strategy
    strategy: Annotated[Strategy | None, PlainValidator(_strategy)] = None
    population: Annotated[Whole, Field(ge=MIN_POPULATION, le=MAX_POPULATION)] = _DEFAULTS.population
    generations: Annotated[Whole, Field(ge=1, le=MAX_GENERATIONS)] = _DEFAULTS.generations
    region_mode: RegionMode = _DEFAULTS.region_mode
    early_stop: Flag = _DEFAULTS.early_stop
    crossover_rate: Annotated[Number, Field(ge=0, le=1)] = _DEFAULTS.crossover_rate
    mutation: Annotated[tuple[float, float], PlainValidator(_interval)] = (
        _DEFAULTS.mutation_low,
        _DEFAULTS.mutation_high,
    )

    @property
    def given(self) -> dict[str, Any]:
        """What the table says, under the keys of today."""
        said = {key: getattr(self, key) for key in self.model_fields_set - {"strategy"}}
        return said if self.strategy is None else {**said, "algorithm": self.strategy}

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if {"algorithm", "strategy"} <= self.model_fields_set and self.strategy:
            what = "left out: it is an older name of algorithm"
            raise expected(what, self.strategy.value, at=".strategy")
        return self


class _Attacks(FileModel):
    targets: Annotated[tuple[Text, ...], DISTINCT, Field(description="a list of names of targets")] = ()
    regions: Annotated[tuple[Region, ...], DISTINCT] = (Region.WHOLE,)
    pixels: Annotated[tuple[Annotated[Whole, Field(ge=1, le=MAX_PIXELS)], ...], DISTINCT] = (1,)
    goals: Annotated[
        tuple[Annotated[str, BeforeValidator(_goal), Field(description=_GOALS)], ...], DISTINCT
    ] = (UNTARGETED,)
    search: _Search = _Search()
    budget: Annotated[Whole, Field(ge=1, le=_MAX_QUERIES)] | None = None
    repeats: Annotated[Whole, Field(ge=1, le=MAX_REPEATS)] | None = None


class _Group(_Attacks):
    name: _Name
    count: _Count | None = None


class _File(_Attacks):
    name: _Name
    seed: _Seed = 0
    data: Annotated[_Cifar10 | _ImageNet | _Folder, Field(discriminator="kind")]
    masks: _Masks = _Masks()
    attacks: tuple[_Group, ...] = ()


def _spec(path: Path, file: _File) -> Spec:
    data = file.data
    return Spec(
        path=path,
        name=file.name,
        seed=file.seed,
        data=DataSource(
            kind=DataKind(data.kind),
            folder=path.parent / Path(data.folder).expanduser() if data.folder else None,
            split="" if isinstance(data, _Folder) else data.split,
            count=data.count,
            seed=data.seed,
            class_folders=data.class_folders if isinstance(data, _Folder) else True,
            resize=data.resize,
        ),
        groups=tuple(_groups(path, file)),
        segmenter="" if file.masks.method == AUTO else file.masks.method,
        accept_unreviewed=file.masks.accept_unreviewed,
        attack_misclassified=not data.only_correct,
    )


def _groups(path: Path, file: _File) -> Iterator[AttackGroup]:
    if not file.attacks:
        yield _group(path, "", file, file, "", None)
    names: set[str] = set()
    for index, group in enumerate(file.attacks):
        place = f"attacks[{index}]."
        if group.name in names:
            raise FileError(f"{path}: {place}name: expected a name of its own, got {shown(group.name)}")
        names.add(group.name)
        if group.count and file.data.count and group.count > file.data.count:
            limits = f"a whole number from 1 to {file.data.count}"
            raise FileError(f"{path}: {place}count: expected {limits}, got {group.count}")
        yield _group(path, place, file, group, group.name, group.count)


def _group(
    path: Path, place: str, file: _Attacks, own: _Attacks, name: str, count: int | None
) -> AttackGroup:
    """Return the group of table ``own``; what the table leaves out is as in ``file``."""

    def chosen(key: str) -> Any:
        return getattr(own if key in own.model_fields_set else file, key)

    if not chosen("targets"):
        raise FileError(f"{path}: {place}targets: missing; expected a list of names of targets")
    search = {**file.search.given, **own.search.given}
    low, high = search.pop("mutation", (_DEFAULTS.mutation_low, _DEFAULTS.mutation_high))
    strategy = search.pop("algorithm", _DEFAULTS.strategy)
    return AttackGroup(
        name=name,
        count=count,
        targets=chosen("targets"),
        regions=chosen("regions"),
        pixels=chosen("pixels"),
        goals=chosen("goals"),
        search=SearchSettings(strategy=strategy, mutation_low=low, mutation_high=high, **search),
        budget=chosen("budget"),
        repeats=chosen("repeats"),
    )
