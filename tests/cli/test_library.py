"""``import pixelprobe`` against the real local stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pixelprobe
from pixelprobe.inputs.planned import PlanError
from pixelprobe.rpc import UnreachableError
from tests.cli.conftest import CAT, DOG, Cli

NIN = "nin_cifar10"


@pytest.fixture
def session(local_stack: dict[str, Any]) -> Iterator[pixelprobe.Session]:
    addresses = local_stack["orchestrator"]["grpc"], local_stack["segmentation"]["grpc"]
    with pixelprobe.connect(*addresses) as opened:
        yield opened


def test_one_attack_gives_what_the_command_line_gives(session: pixelprobe.Session, cli: Cli) -> None:
    found = session.attack(CAT, target=NIN, region="foreground", pixels=3, budget=900, seed=3)
    (record,) = cli.json(
        "attack", CAT, "--target", NIN, "--region", "foreground", "--pixels", 3, "--budget", 900,
        "--seed", 3,
    )  # fmt: skip
    ours = found.to_dict()
    same = ("outcome", "edits", "queries_sent", "clean_label", "adversarial_label", "mask_area_fraction")
    assert {key: ours[key] for key in same} == {key: record[key] for key in same}  # type: ignore[literal-required]
    assert found.success == (record["outcome"] == "success")
    changed = (found.best != found.image).any(axis=-1)
    assert found.mask is not None
    assert 1 <= changed.sum() <= 3
    assert found.mask[changed].all()


def test_arrays_and_images_are_attacked_like_files(session: pixelprobe.Session) -> None:
    image = Image.open(CAT).convert("RGB")
    results = session.attack_all(
        [CAT, image, np.asarray(image)], targets=[NIN], pixels=[1], budget=60, population=20
    )
    assert len(results) == 3
    assert len({(result.edits, result.queries, result.outcome) for result in results}) == 1


def test_many_attacks_are_a_collection(session: pixelprobe.Session) -> None:
    results = session.attack_all(
        [CAT, DOG], targets=[NIN, "allconv_cifar10"], regions=["whole", "background"],
        labels=["cat", "dog"], budget=40, population=20,
    )  # fmt: skip
    assert [(r.name[:2], r.target.name, r.attack.region.value) for r in results][:3] == [
        ("03", NIN, "whole"), ("03", NIN, "background"), ("03", "allconv_cifar10", "whole"),
    ]  # fmt: skip
    assert len(results) == len(results.to_dicts()) == 8
    assert results._repr_html_().count("<tr>") == 9
    assert results[0].plot().width > 400
    assert results[0]._repr_png_().startswith(b"\x89PNG")
    assert all(result.success for result in results.successes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "nin"}, "unknown target 'nin'"),
        ({"target": NIN, "region": "middle"}, "region: 'middle' is none of whole, foreground"),
        ({"target": NIN, "target_class": "tiger"}, "'tiger' is no class of nin_cifar10"),
        ({"target": NIN, "masks": [np.ones((3, 3), np.bool_)]}, "the mask has shape"),
        ({"target": NIN, "resize": "squeeze"}, "resize: 'squeeze' is none of"),
        ({"target": NIN, "search": "magic"}, "search: 'magic' is none of paper, "),
    ],
)
def test_a_wrong_argument_is_named(
    session: pixelprobe.Session, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        session.attack(CAT, **arguments)


def test_an_array_of_another_kind_is_refused(session: pixelprobe.Session) -> None:
    with pytest.raises(PlanError, match=r"expected \(height, width, 3\) uint8 RGB, got \(32, 32\) float64"):
        session.attack(np.zeros((32, 32)), target=NIN)  # type: ignore[arg-type]


def test_without_a_service_the_error_names_its_address(unused_tcp_port: int) -> None:
    with (
        pixelprobe.connect(f"127.0.0.1:{unused_tcp_port}") as session,
        pytest.raises(UnreachableError, match=r"does not answer at 127\.0\.0\.1"),
    ):
        session.targets()
