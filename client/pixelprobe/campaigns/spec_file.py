"""Reads a TOML file into a checked :class:`~pixelprobe.campaigns.spec_values.Spec`; shipped ones go by name.

A file looks like this; everything but ``name``, ``data.kind`` and the targets may be left out::

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
    accept_unreviewed = false           # true: use masks that a person should look at first

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

import re
from importlib.resources import files
from pathlib import Path

from pixelprobe.campaigns.spec_values import (
    ALL_CLASSES,
    MAX_IMAGES,
    MAX_PIXELS,
    MAX_REPEATS,
    MAX_SEED,
    UNTARGETED,
    AttackGroup,
    DataKind,
    DataSource,
    Spec,
    SpecError,
)
from pixelprobe.campaigns.toml_keys import Keys
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import PAPER, Region, RegionMode, SearchSettings, Strategy

AUTO = "auto"
NAME_RULE = "letters, digits, dots, hyphens and underscores, at most 60"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_GOALS = f'"{UNTARGETED}", "{ALL_CLASSES}" (each other class), or a class by its label or index'
_MAX_QUERIES = 2**62
_SPLITS = {DataKind.CIFAR10: ("test", "train"), DataKind.IMAGENET: ("val", "train")}
_DEFAULT = AttackGroup("", None, (), (Region.WHOLE,), (1,), (UNTARGETED,), SearchSettings(), None)


def shipped_specs() -> dict[str, Path]:
    """The specs that come with the package, by name."""
    folder = Path(str(files("pixelprobe.campaigns.shipped")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def new_spec(name: str) -> str:
    """Return the text of a spec to start from, with every key at its default and explained."""
    template = files("pixelprobe.campaigns.shipped").joinpath("new.toml.template")
    return template.read_text(encoding="utf-8").replace("NAME", name, 1)


def find_spec(text: str) -> Path:
    """The file that a person means: a path, or the name of a shipped spec where there is no such file.

    Raises:
        SpecError: neither.
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
    """Read and check a file.

    Raises:
        SpecError: it cannot be read, is no TOML, or says something that cannot be.
    """
    return _spec(path, Keys.of_file(path))


def _spec(path: Path, keys: Keys) -> Spec:
    name = _name(keys, "name")
    seed = keys.integer("seed", 0, 0, MAX_SEED)
    data, only_correct = _data(keys.table("data"), path.parent)
    masks = keys.table("masks")
    method = masks.text("method", AUTO, expected='"auto" or the id of a segmentation method')
    accept = masks.flag("accept_unreviewed", False)
    masks.finish()
    groups = _groups(keys, data.count)
    keys.finish()
    return Spec(
        path=path,
        name=name,
        seed=seed,
        data=data,
        groups=groups,
        segmenter="" if method == AUTO else method,
        accept_unreviewed=accept,
        attack_misclassified=not only_correct,
    )


def _data(keys: Keys, base: Path) -> tuple[DataSource, bool]:
    """The images, and whether only those that the targets get right are attacked."""
    kind = DataKind(keys.text("kind", choices=[kind.value for kind in DataKind]))
    folder = keys.optional_text("folder", "a folder")
    splits = _SPLITS.get(kind)
    split = keys.text("split", splits[0], choices=splits) if splits else ""
    class_folders = keys.flag("class_folders", True) if kind is DataKind.FOLDER else True
    source = DataSource(
        kind=kind,
        folder=base / Path(folder).expanduser() if folder else None,
        split=split,
        count=keys.optional_integer("count", None, 1, MAX_IMAGES),
        seed=keys.integer("seed", 0, 0, MAX_SEED),
        class_folders=class_folders,
        resize=_sizing(keys.flag_or_text("resize", False, [how.value for how in Sizing])),
    )
    only_correct = keys.flag("only_correct", True)
    keys.finish()
    return source, only_correct


def _sizing(given: bool | str) -> Sizing | None:
    if isinstance(given, str):
        return Sizing(given)
    return Sizing.CROP if given else None


def _groups(keys: Keys, most: int | None) -> tuple[AttackGroup, ...]:
    tables = keys.tables("attacks")
    common = _group(keys, None, most, needs_targets=not tables)
    if not tables:
        return (common,)
    groups = [_group(table, common, most, needs_targets=True) for table in tables]
    for index, group in enumerate(groups):
        if group.name in [other.name for other in groups[:index]]:
            raise tables[index].error("name", "a name of its own", group.name)
        tables[index].finish()
    return tuple(groups)


def _group(keys: Keys, common: AttackGroup | None, most: int | None, *, needs_targets: bool) -> AttackGroup:
    """The attacks that a table describes; what it leaves out is as in ``common``."""
    base = common or _DEFAULT
    regions = keys.texts("regions", tuple(base.regions), choices=[region.value for region in Region])
    return AttackGroup(
        name=_name(keys, "name") if common else "",
        count=keys.optional_integer("count", None, 1, most or MAX_IMAGES) if common else None,
        targets=keys.texts("targets", base.targets, expected="names of targets", optional=not needs_targets),
        regions=tuple(Region(region) for region in regions),
        pixels=keys.integers("pixels", base.pixels, 1, MAX_PIXELS),
        goals=keys.texts_or_integers("goals", base.goals, _GOALS),
        search=_search(keys.table("search"), base.search),
        budget=keys.optional_integer("budget", base.budget, 1, _MAX_QUERIES),
        repeats=keys.optional_integer("repeats", base.repeats, 1, MAX_REPEATS),
    )


def _search(keys: Keys, base: SearchSettings) -> SearchSettings:
    low, high = keys.interval("mutation", (base.mutation_low, base.mutation_high), 0.0, 2.0)
    search = SearchSettings(
        strategy=_strategy(keys, base.strategy),
        population=keys.integer("population", base.population, 4, 10_000),
        generations=keys.integer("generations", base.generations, 1, 100_000),
        region_mode=RegionMode(
            keys.text("region_mode", base.region_mode.value, choices=[mode.value for mode in RegionMode])
        ),
        early_stop=keys.flag("early_stop", base.early_stop),
        crossover_rate=keys.number("crossover_rate", base.crossover_rate, 0.0, 1.0),
        mutation_low=low,
        mutation_high=high,
    )
    keys.finish()
    return search


def _strategy(keys: Keys, base: Strategy) -> Strategy:
    """The search's name, under its key of today or the older one."""
    choices = [PAPER, *(strategy.value for strategy in Strategy)]
    if not keys.has("strategy"):
        return Strategy.of(keys.text("algorithm", base.value, choices=choices))
    older = keys.text("strategy", choices=choices)
    if keys.has("algorithm"):
        raise keys.error("strategy", "left out: it is an older name of algorithm", older)
    return Strategy.of(older)


def _name(keys: Keys, key: str) -> str:
    name = keys.text(key, expected=NAME_RULE)
    if not _NAME.fullmatch(name):
        raise keys.error(key, NAME_RULE, name)
    return name
