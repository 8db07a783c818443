"""Spec files: what they may say, and what they are told when they say something else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pixelprobe.campaigns.spec_file import DataKind, Spec, SpecError, find_spec, read_spec, shipped_specs
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import Region, RegionMode, SearchSettings, Strategy

SMALLEST = """
name = "a"
targets = ["net"]
[data]
kind = "cifar10"
"""

FULL = """
name = "Full-1.0_b"
seed = 18446744073709551615
targets = ["net", "other"]
regions = ["foreground", "control"]
pixels = [1, 5]
goals = ["untargeted", "all"]
budget = 900
repeats = 5

[data]
kind = "folder"
folder = "images"
count = 40
seed = 3
only_correct = false
class_folders = false
resize = true

[masks]
method = "grabcut"
accept_unreviewed = true

[search]
population = 50
generations = 7
early_stop = false
strategy = "best1bin"
region_mode = "project"
crossover_rate = 1
mutation = [0.25, 0.75]

[[attacks]]
name = "first"

[[attacks]]
name = "second"
count = 30
targets = ["third"]
regions = ["whole"]
pixels = [3]
goals = ["cat", 4]
budget = 12
search = { generations = 2, early_stop = true }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def spec_of(folder: Path, text: str) -> Spec:
    return read_spec(written(folder, text))


def test_the_smallest_spec_is_the_papers_untargeted_one_pixel_attack(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, SMALLEST)
    (group,) = spec.groups
    assert (group.name, group.count, group.targets) == ("", None, ("net",))
    assert (group.regions, group.pixels, group.goals) == ((Region.WHOLE,), (1,), ("untargeted",))
    assert group.search == SearchSettings()
    assert (group.search.population, group.search.generations, group.search.early_stop) == (400, 100, True)
    assert group.budget is None
    assert group.repeats is None
    assert (spec.data.kind, spec.data.folder, spec.data.split) == (DataKind.CIFAR10, None, "test")
    assert (spec.data.count, spec.data.seed, spec.seed) == (None, 0, 0)
    assert (spec.segmenter, spec.accept_unreviewed, spec.attack_misclassified) == ("", False, False)


def test_everything_that_can_be_said_is_heard(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, FULL)
    assert (spec.name, spec.seed) == ("Full-1.0_b", 2**64 - 1)
    assert spec.data.folder == tmp_path / "images"
    assert (spec.data.kind, spec.data.count, spec.data.seed) == (DataKind.FOLDER, 40, 3)
    assert (spec.data.class_folders, spec.data.resize) == (False, Sizing.CROP)
    assert (spec.segmenter, spec.accept_unreviewed, spec.attack_misclassified) == ("grabcut", True, True)
    first, second = spec.groups
    assert (first.name, first.count, first.targets) == ("first", None, ("net", "other"))
    assert first.regions == (Region.FOREGROUND, Region.CONTROL)
    assert (first.pixels, first.goals, first.budget) == ((1, 5), ("untargeted", "all"), 900)
    assert first.search == SearchSettings(
        Strategy.BEST1BIN, 50, 7, 1.0, 0.25, 0.75, RegionMode.PROJECT, early_stop=False
    )
    assert (second.name, second.count, second.targets) == ("second", 30, ("third",))
    assert (second.regions, second.pixels, second.goals) == ((Region.WHOLE,), (3,), ("cat", "4"))
    assert second.budget == 12
    assert (first.repeats, second.repeats) == (5, 5)
    assert (second.search.generations, second.search.early_stop, second.search.population) == (2, True, 50)


@pytest.mark.parametrize(
    ("line", "strategy"),
    [
        ('algorithm = "paper"', Strategy.RAND1BIN),
        ('algorithm = "corner-scan"', Strategy.CORNER_SCAN),
        ('algorithm = "auto"', Strategy.AUTO),
        ('strategy = "best1bin"', Strategy.BEST1BIN),
        ("", Strategy.RAND1BIN),
    ],
)
def test_a_search_goes_by_its_name(tmp_path: Path, line: str, strategy: Strategy) -> None:
    (group,) = spec_of(tmp_path, f"{SMALLEST}\n[search]\n{line}\n").groups
    assert group.search == SearchSettings(strategy=strategy)


@pytest.mark.parametrize(
    ("written", "how"),
    [("false", None), ("true", Sizing.CROP), *((f'"{how.value}"', how) for how in Sizing)],
)
def test_ways_to_size_go_by_name(tmp_path: Path, written: str, how: Sizing | None) -> None:
    assert spec_of(tmp_path, SMALLEST + f"resize = {written}").data.resize is how
    assert spec_of(tmp_path, SMALLEST).data.resize is None


def test_imagenet_is_its_validation_images_unless_said_otherwise(tmp_path: Path) -> None:
    text = SMALLEST.replace("cifar10", "imagenet")
    data = spec_of(tmp_path, text).data
    assert (data.kind, data.split, data.resize) == (DataKind.IMAGENET, "val", None)
    assert spec_of(tmp_path, text + 'split = "train"').data.split == "train"


def test_groups_may_all_have_targets_of_their_own(tmp_path: Path) -> None:
    text = SMALLEST.replace('targets = ["net"]', "") + '[[attacks]]\nname = "x"\ntargets = ["y"]\n'
    assert spec_of(tmp_path, text).groups[0].targets == ("y",)


HEAD = 'name = "a"\ntargets = ["net"]\n'
DATA = '[data]\nkind = "cifar10"\n'
IMAGENET = '[data]\nkind = "imagenet"\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "name: missing; expected letters, digits"),
        (
            'name = "a b"',
            'name: expected letters, digits, dots, hyphens and underscores, at most 60, got "a b"',
        ),
        ('name = "a@b"', "name: expected letters"),
        (f'name = "{"a" * 61}"', "name: expected letters"),
        ("name = 1", "name: expected letters, digits, dots, hyphens and underscores, at most 60, got 1"),
        (HEAD, "data: missing; expected a table, [data]"),
        (HEAD + "[data]", "data.kind: missing; expected one of cifar10, imagenet, folder"),
        (HEAD + "data = 3", "data: expected a table, [data], got 3"),
        (HEAD + '[data]\nkind = "mnist"', 'data.kind: expected one of cifar10, imagenet, folder, got "mn'),
        (HEAD + DATA + "count = 0", "data.count: expected a whole number from 1 to 100000, got 0"),
        (HEAD + DATA + "count = true", "data.count: expected a whole number from 1 to 100000, got true"),
        (HEAD + DATA + "count = 1.0", "data.count: expected a whole number from 1 to 100000, got 1.0"),
        (HEAD + DATA + 'split = "val"', 'data.split: expected one of test, train, got "val"'),
        (HEAD + DATA + 'folder = ""', 'data.folder: expected a folder, got ""'),
        (HEAD + DATA + "only_correct = 1", "data.only_correct: expected true or false, got 1"),
        (HEAD + DATA + "sed = 1", "data.sed: unknown key; did you mean seed?"),
        (HEAD + DATA + "resise = true", "data.resise: unknown key; did you mean resize?"),
        (HEAD + DATA + "class_folders = true", "data.class_folders: unknown key"),
        (
            HEAD + DATA + 'resize = "squash"',
            'data.resize: expected true, false or one of crop, stretch, short-side-256, got "squash"',
        ),
        (HEAD + DATA + "resize = 1", "data.resize: expected true, false or one of crop, stretch, short-side"),
        (HEAD + IMAGENET + 'split = "test"', 'data.split: expected one of val, train, got "test"'),
        (HEAD + IMAGENET + "class_folders = false", "data.class_folders: unknown key"),
        (
            HEAD + '[data]\nkind = "folder"\nsplit = "test"',
            "data.split: unknown key; expected class_folders,",
        ),
        (HEAD + "goal = 3\n" + DATA, "goal: unknown key; did you mean goals?"),
        (HEAD + "zzzz = 3\n" + DATA, "zzzz: unknown key; expected attacks, budget, data, goals"),
        ('name = "a"\n' + DATA, "targets: missing; expected a list of names of targets"),
        ('name = "a"\ntargets = []\n' + DATA, "targets: expected a list of names of targets, got []"),
        ('name = "a"\ntargets = "net"\n' + DATA, 'targets: expected a list of names of targets, got "net"'),
        ('name = "a"\ntargets = ["n", 1]\n' + DATA, "targets[1]: expected a text, got 1"),
        ('name = "a"\ntargets = ["n", "n"]\n' + DATA, 'targets[1]: expected each value once, got "n"'),
        (
            HEAD + 'regions = ["sky"]\n' + DATA,
            "regions[0]: expected one of whole, foreground, background, con",
        ),
        (HEAD + 'pixels = ["3"]\n' + DATA, 'pixels[0]: expected a whole number from 1 to 64, got "3"'),
        (HEAD + "pixels = [1, 65]\n" + DATA, "pixels[1]: expected a whole number from 1 to 64, got 65"),
        (
            HEAD + "goals = [-1]\n" + DATA,
            'goals[0]: expected "untargeted", "all" (each other class), or a class',
        ),
        (HEAD + "seed = -1\n" + DATA, "seed: expected a whole number from 0 to 18446744073709551615, got -1"),
        (HEAD + "budget = 0\n" + DATA, "budget: expected a whole number from 1 to "),
        (HEAD + "repeats = 101\n" + DATA, "repeats: expected a whole number from 1 to 100"),
        (
            HEAD + DATA + "[search]\npopulation = 3",
            "search.population: expected a whole number from 4 to 10000",
        ),
        (HEAD + DATA + '[search]\nearly_stop = "no"', 'search.early_stop: expected true or false, got "no"'),
        (
            HEAD + DATA + "[search]\ncrossover_rate = 1.5",
            "search.crossover_rate: expected a number from 0 to 1",
        ),
        (
            HEAD + DATA + "[search]\ncrossover_rate = nan",
            "search.crossover_rate: expected a number from 0 to 1",
        ),
        (
            HEAD + DATA + "[search]\nmutation = [1, 0.5]",
            "search.mutation: expected two numbers from 0 to 2, the",
        ),
        (HEAD + DATA + "[search]\nmutation = [1]", "search.mutation: expected two numbers from 0 to 2"),
        (
            HEAD + DATA + '[masks]\nmethod = ""',
            'masks.method: expected "auto" or the id of a segmentation method',
        ),
        (
            HEAD + DATA + '[search]\nalgorithm = "annealing"',
            "search.algorithm: expected one of paper, rand1bin, best1bin, random, corner-scan, sketch",
        ),
        (
            HEAD + DATA + '[search]\nalgorithm = "auto"\nstrategy = "rand1bin"',
            "search.strategy: expected left out: it is an older name of algorithm",
        ),
        (HEAD + DATA + "[masks]\naccept = true", "masks.accept: unknown key; expected accept_unreviewed"),
        (HEAD + "attacks = 3\n" + DATA, "attacks: expected tables, each [[attacks]], got 3"),
        (HEAD + DATA + "[[attacks]]\npixels = [1]", "attacks[0].name: missing"),
        (
            HEAD + DATA + '[[attacks]]\nname = "x"\n' * 2,
            'attacks[1].name: expected a name of its own, got "x"',
        ),
        (HEAD + DATA + '[[attacks]]\nname = "x"\nseed = 1', "attacks[0].seed: unknown key"),
        (
            HEAD + DATA + 'count = 5\n[[attacks]]\nname = "x"\ncount = 6',
            "attacks[0].count: expected a whole number from 1 to 5, got 6",
        ),
        (
            HEAD + DATA + '[[attacks]]\nname = "x"\nsearch = { generation = 6 }',
            "attacks[0].search.generation: unknown key; did you mean generations?",
        ),
        ("name = ", "is not TOML: Invalid value (at"),
    ],
)  # fmt: skip
def test_what_is_off_names_file_key_and_what_was_expected(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {told}")
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    for name, told in (
        ("latin.toml", "is not UTF-8 text"),
        ("missing.toml", "No such file"),
        (".", "directory"),
    ):
        with pytest.raises(SpecError, match=told):
            read_spec(tmp_path / name)


@pytest.mark.parametrize("text", ["a." * 50_000 + "a = 1", "a = " + "[" * 100_000, "seed = " + "9" * 100_000])
def test_a_hostile_file_is_an_error_of_one_line(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).removeprefix(str(path))) < 120
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert (
        read_spec(written(tmp_path, "\ufeff" + SMALLEST)).name == read_spec(written(tmp_path, SMALLEST)).name
    )


def test_a_path_goes_before_a_shipped_spec_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = shipped_specs()["table2"]
    assert find_spec("table2") == find_spec("table2.toml") == shipped
    Path("table2.toml").write_text(SMALLEST)
    assert find_spec("table2.toml") == Path("table2.toml")
    assert find_spec("table2") == shipped
    for name in ("nowhere", "sub/table2", str(tmp_path)):
        with pytest.raises(SpecError, match="shipped specs go by name: figure6, figure6-imagenet, table2, "):
            find_spec(name)


@pytest.mark.parametrize("name", shipped_specs())
def test_shipped_specs_are_sound_and_like_the_papers(name: str) -> None:
    spec = read_spec(shipped_specs()[name])
    assert spec.name == name
    assert spec.data.folder is None
    assert not spec.attack_misclassified
    assert not spec.accept_unreviewed
    for group in spec.groups:
        assert {Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND} <= set(group.regions)
        assert group.search.population == 400


@pytest.mark.parametrize("name", ["table2", "table2-quick", "figure6"])
def test_cifar10s_specs_are_about_the_papers_networks(name: str) -> None:
    spec = read_spec(shipped_specs()[name])
    assert (spec.data.kind, spec.segmenter) == (DataKind.CIFAR10, "grabcut")
    for group in spec.groups:
        assert group.targets == ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")


@pytest.mark.parametrize("name", ["table3", "table3-quick", "figure6-imagenet"])
def test_imagenets_specs_size_and_mask_as_the_paper_does(name: str) -> None:
    spec = read_spec(shipped_specs()[name])
    assert (spec.data.kind, spec.data.split, spec.segmenter) == (DataKind.IMAGENET, "val", "u2net")
    assert spec.data.resize is Sizing.STRETCH
    for group in spec.groups:
        assert all(target.endswith("_imagenet") for target in group.targets)
        assert (group.pixels, group.goals) == ((1,), ("untargeted",))


def test_table3_is_the_papers() -> None:
    spec = read_spec(shipped_specs()["table3"])
    (group,) = spec.groups
    assert spec.data.count == 420
    assert group.targets == ("alexnet_imagenet", "resnet50_imagenet", "vgg16_imagenet")
    assert group.search == SearchSettings()


def test_table2_is_the_papers() -> None:
    spec = read_spec(shipped_specs()["table2"])
    assert spec.data.count == 500
    for group in spec.groups:
        assert group.count is None
        assert group.pixels == (1, 3, 5)
        assert group.search == SearchSettings()
    assert [goal for group in spec.groups for goal in group.goals] == ["untargeted", "all"]


@pytest.mark.parametrize("name", ["figure6", "figure6-imagenet"])
def test_figure6_runs_all_generations(name: str) -> None:
    (group,) = read_spec(shipped_specs()[name]).groups
    assert not group.search.early_stop
    assert (group.search.generations, group.pixels, group.goals) == (100, (1,), ("untargeted",))


def test_the_modules_own_example_is_a_spec(tmp_path: Path) -> None:
    from pixelprobe.campaigns import spec_file as read

    assert read.__doc__
    example = read.__doc__.partition("::\n")[2]
    table = tomllib.loads(example)
    # The two lines of folder only stand beside those of cifar10 there.
    del table["data"]["class_folders"]
    text = example.replace("    class_folders = true", "    # class_folders = true")
    spec = spec_of(tmp_path, text)
    assert (spec.name, spec.data.count) == (table["name"], table["data"]["count"])
    assert [group.name for group in spec.groups] == ["five"]
    assert spec.groups[0].search.generations == 10
