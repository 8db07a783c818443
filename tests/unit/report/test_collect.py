"""Reading campaigns from a server: which attacks count, which classes there are, which images are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.planned import PlanError
from pixelprobe.model import Target
from pixelprobe.report.collect import collect, count_classes
from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import result_pb2
from tests.unit.client.servicer import serving
from tests.unit.report.made import made, scores
from tests.unit.report.servicer import MASK, PIXELS, Campaigns


@pytest.fixture
def server() -> Campaigns:
    return Campaigns()


@pytest.fixture
def client(server: Campaigns) -> Iterator[PixelprobeClient]:
    with serving(server) as addresses, PixelprobeClient(addresses) as opened:
        yield opened


def collected(client: PixelprobeClient, *names: str, targets: tuple[str, ...] = ()) -> Any:
    return collect(client, [client.get_campaign(f"campaigns/{name}") for name in names], targets=targets)


def test_attacks_are_read_page_by_page_with_the_gallerys_images(
    client: PixelprobeClient, server: Campaigns
) -> None:
    server.add("c")
    counted: list[int] = []
    found = collect(client, [client.get_campaign("campaigns/c")], on_attack=counted.append)
    assert counted == [1, 2, 3]
    assert [row.region for row in found.evaluation.rows] == ["whole", "foreground", "background"]
    assert (found.classes, found.labels, found.notes) == (3, {"net": ("cat", "dog", "frog")}, ())
    (image,) = found.gallery.images
    assert (image.name, image.label) == ("a cat", 0)
    assert np.array_equal(image.pixels, PIXELS)
    assert image.mask is not None
    assert np.array_equal(image.mask, MASK)
    assert [(shot.region, shot.edits[0].x) for shot in image.shots] == [
        ("foreground", 1),
        ("background", 2),
    ]


def test_attacks_that_stopped_early_count_and_the_others_are_for_figure_6(
    client: PixelprobeClient, server: Campaigns
) -> None:
    server.add("late", early_stop=False, generations=9, reached=2)
    server.add("early", generations=2)
    found = collected(client, "late", "early")
    assert [each.spec.display_name for each in found.campaigns] == ["early", "late"]
    assert {row.generations for row in found.evaluation.rows} == {2}
    assert {len(row.fitness_by_generation) for row in found.fitness.rows} == {9}
    assert found.evaluation.repeated == 3
    # The gallery shows the attacks that count.
    assert {shot.after.class_index for shot in found.gallery.images[0].shots} == {1}


def test_campaigns_without_a_late_one_draw_figure_6_from_all(
    client: PixelprobeClient, server: Campaigns
) -> None:
    server.add("c")
    found = collected(client, "c")
    assert found.fitness is found.evaluation


def test_cancelled_attacks_are_counted(client: PixelprobeClient, server: Campaigns) -> None:
    server.add("c")
    server.results["campaigns/c"][1].result.outcome = result_pb2.OUTCOME_CANCELLED
    (found,) = collected(client, "c").campaigns
    assert found.cancelled == 1


def test_targets_can_be_chosen(client: PixelprobeClient, server: Campaigns) -> None:
    server.add("c")
    server.add("other", target="big")
    server.targets.append(pb.Target(name="big", available=True, classes=1000))
    with pytest.raises(PlanError, match="there are net 3, big 1000; choose with --target"):
        collected(client, "c", "other")
    found = collected(client, "c", "other", targets=("big",))
    assert (found.evaluation.models, found.classes) == (("big",), 1000)
    with pytest.raises(PlanError, match="'huge' was not attacked; net were"):
        collected(client, "c", targets=("huge",))


def test_without_images_the_gallery_says_why(client: PixelprobeClient, server: Campaigns) -> None:
    server.add("c")
    server.images = {}
    gallery = collected(client, "c").gallery
    assert gallery.images == ()
    assert gallery.missing.startswith("The server did not hand out the images: ")


def test_a_campaign_without_results_is_read_too(client: PixelprobeClient, server: Campaigns) -> None:
    server.add("c")
    server.results["campaigns/c"] = []
    found = collected(client, "c")
    assert found.evaluation.rows == ()
    assert found.gallery.missing == "No untargeted attack succeeded, so there is nothing to show."


def target(name: str, classes: int) -> Target:
    return Target(name, classes > 0, "", 8, 8, classes, (), False)


def test_a_target_that_is_gone_knows_as_many_classes_as_the_others_or_as_it_named() -> None:
    rows = [made(target="gone", best_top=scores((7, 0.5)))]
    assert count_classes(["gone"], {}, rows) == (
        8,
        ["gone is not available now; it is taken to know 8 classes"],
    )
    known = {"net": target("net", 10), "gone": target("gone", 0)}
    classes, notes = count_classes(["net", "gone"], known, rows)
    assert (classes, len(notes)) == (10, 1)


@pytest.mark.parametrize(
    ("name", "classes"), [("efficientnet_lite0_imagenet", 1000), ("vgg16_cifar10", 10), ("imagenet_net", 8)]
)
def test_a_gone_target_of_the_zoo_says_its_data_set_in_its_name(name: str, classes: int) -> None:
    rows = [made(target=name, best_top=scores((7, 0.5)))]
    assert count_classes([name], {}, rows)[0] == classes


def test_a_gone_target_that_named_more_classes_is_another_kind() -> None:
    rows = [made(target="gone", label=700)]
    with pytest.raises(PlanError, match="net 10, gone 701"):
        count_classes(["net", "gone"], {"net": target("net", 10)}, rows)
