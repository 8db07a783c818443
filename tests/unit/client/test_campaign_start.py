"""Plans where no orchestrator answers: what is assumed of targets, by data set."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pixelprobe.campaigns.spec_file import DataKind, DataSource, Spec
from pixelprobe.cli.campaign_start import Plan, make_plan
from pixelprobe.inputs.images import save_png
from pixelprobe.inputs.planned import PlanError
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import Goal, Region, Target
from pixelprobe.rpc import UnreachableError
from tests.unit.client import cifar10_files
from tests.unit.client.imagenet_files import CRANE_BIRD, TENCH, jpeg, photograph, write_jpeg, write_parquet
from tests.unit.client.test_spec_images import SPEC


class Nobody:
    """A client whose server does not answer."""

    def list_targets(self) -> list[Target]:
        raise UnreachableError("orchestrator", "localhost:1")


def spec(kind: DataKind, split: str, resize: Sizing | None = None, goal: str = "untargeted") -> Spec:
    groups = tuple(replace(group, regions=(Region.WHOLE,), goals=(goal,)) for group in SPEC.groups)
    return replace(SPEC, data=DataSource(kind, None, split, resize=resize), groups=groups)


def planned(wanted: Spec, folder: Path) -> tuple[Plan, str]:
    messages = Console(file=io.StringIO(), width=150)
    plan = make_plan(Nobody(), wanted, folder, messages, measure=5)  # type: ignore[arg-type]
    return plan, messages.file.getvalue()  # type: ignore[attr-defined]


def test_imagenets_targets_are_assumed_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    write_jpeg(tmp_path / TENCH / "a.JPEG", 10)
    write_jpeg(tmp_path / CRANE_BIRD / "b.JPEG", 20)
    (tmp_path / TENCH / "cut.JPEG").write_bytes(jpeg(photograph(30))[:-100])
    plan, told = planned(spec(DataKind.IMAGENET, "val", Sizing.STRETCH), tmp_path)
    assert plan.images == 2
    assert (plan.rate, plan.rate_origin) == (150.0, "assumed; --measure N measures it, --rate gives it")
    ((_, made, cost),) = plan.groups
    assert made.image_preparation.startswith("as they are where 224 x 224, else stretched")
    assert cost.attacks == 2
    assert "The orchestrator does not answer: targets are not checked." in told
    assert "1 image cannot be read and is left out:" in told
    assert "cut.JPEG: damaged or cut short" in told


def test_goals_are_looked_up_among_the_assumed_classes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "val.parquet", [jpeg(photograph(10))], [0])
    plan, _ = planned(spec(DataKind.IMAGENET, "val", Sizing.CROP, "tiger cat"), tmp_path)
    assert plan.groups[0][1].goals == (Goal(282),)
    with pytest.raises(PlanError, match=r"mine.toml.goals: 'tigercat' is no class of net; .* tiger cat"):
        planned(spec(DataKind.IMAGENET, "val", Sizing.CROP, "tigercat"), tmp_path)


def test_cifar10s_targets_are_assumed(tmp_path: Path) -> None:
    images = cifar10_files.sample_images(3)
    cells = [cifar10_files.png(image) for image in images]
    cifar10_files.write_parquet(tmp_path / "test.parquet", cells, [0, 1, 2])
    plan, _ = planned(spec(DataKind.CIFAR10, "test"), tmp_path)
    assert (plan.images, plan.rate) == (3, 700.0)
    assert plan.groups[0][1].image_preparation == "as they are"


def test_attacks_on_imagenet_are_expected_to_cost_more(tmp_path: Path) -> None:
    """The paper's networks there are fooled less often, and each failure costs all its candidates."""
    cells = [cifar10_files.png(image) for image in cifar10_files.sample_images(3)]
    cifar10_files.write_parquet(tmp_path / "test.parquet", cells, [0, 1, 2])
    write_parquet(tmp_path / "val.parquet", [jpeg(photograph(value)) for value in (1, 90, 180)], [0, 1, 2])
    small, _ = planned(spec(DataKind.CIFAR10, "test"), tmp_path)
    large, _ = planned(spec(DataKind.IMAGENET, "val", Sizing.CROP), tmp_path)
    assert large.cost.most_queries == small.cost.most_queries
    assert small.cost.expected_queries < large.cost.expected_queries < large.cost.most_queries


def test_of_a_folder_nothing_can_be_assumed(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(UnreachableError):
        planned(spec(DataKind.FOLDER, ""), tmp_path)
