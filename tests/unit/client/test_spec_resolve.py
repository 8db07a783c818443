"""From specs to campaigns: which, called what, and told apart by all that they ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pixelprobe.campaigns.runs import Run, group_spec, make_run, targets_of
from pixelprobe.campaigns.spec_file import AttackGroup, Spec, SpecError
from pixelprobe.inputs.planned import PlanError
from pixelprobe.inputs.sizing import Sizing
from pixelprobe.model import CampaignImage, Goal, MaskSettings, Region, SearchSettings, Target
from tests.unit.client.test_spec_images import SPEC as EMPTY
from tests.unit.client.values import OTHER, TARGET

FIRST = AttackGroup(
    "first",
    None,
    ("net", "other"),
    (Region.WHOLE, Region.CONTROL),
    (1, 5),
    ("untargeted",),
    SearchSettings(),
    9,
)
SECOND = AttackGroup(
    "second", 2, ("net",), (Region.WHOLE,), (3,), ("all", "untargeted"), SearchSettings(generations=2), None
)
SPEC = replace(
    EMPTY, name="mine", seed=5, groups=(FIRST, SECOND), segmenter="grabcut", accept_unreviewed=True
)
IMAGES = [CampaignImage(digit * 64, digit, 1) for digit in "0123"]
TARGETS = [TARGET, OTHER]


def run(spec: Spec = SPEC, images: list[CampaignImage] = IMAGES) -> Run:
    return make_run(spec, images, TARGETS)


def test_a_group_is_a_campaign_of_all_that_the_spec_says() -> None:
    first, second = run().campaigns
    assert first.spec.targets == ("net", "other")
    assert first.spec.images == tuple(IMAGES)
    assert (first.spec.regions, first.spec.pixel_counts) == ((Region.WHOLE, Region.CONTROL), (1, 5))
    assert (first.spec.goals, first.spec.budget, first.spec.seed) == ((Goal(),), 9, 5)
    assert first.spec.masks == MaskSettings("grabcut", accept_unreviewed=True)
    assert not first.spec.attack_misclassified
    assert first.spec.attack_count == 4 * 2 * 2 * 2
    assert second.spec.images == tuple(IMAGES[:2])
    assert second.spec.goals == (Goal(0), Goal(1), Goal(2), Goal())
    assert (second.spec.search.generations, second.spec.budget) == (2, None)


def test_names_tell_run_and_group() -> None:
    made = run()
    name, _, tag = made.label.partition("@")
    assert name == "mine"
    assert len(tag) == 8
    assert [item.spec.display_name for item in made.campaigns] == [
        f"{made.label}/first",
        f"{made.label}/second",
    ]
    (only,) = run(replace(SPEC, groups=(replace(FIRST, name=""),))).campaigns
    assert only.spec.display_name.startswith("mine@")
    assert "/" not in only.spec.display_name


def test_how_images_were_sized_is_told_and_tells_no_runs_apart() -> None:
    """What does is the images that came of it; so runs of older versions are found again."""
    plain = run()
    stretched = run(replace(SPEC, data=replace(SPEC.data, resize=Sizing.STRETCH)))
    assert [item.spec.image_preparation for item in plain.campaigns] == ["as they are"] * 2
    assert {item.spec.image_preparation for item in stretched.campaigns} == {
        "as they are where 8 x 6, else stretched to that (bilinear, antialiased)"
    }
    assert [item.request_id for item in stretched.campaigns] == [item.request_id for item in plain.campaigns]
    assert stretched.label == plain.label


def test_the_same_again_has_the_same_request_ids_and_they_fit_the_server() -> None:
    longest = replace(SPEC, groups=(FIRST, replace(SECOND, name="x" * 60)))
    for spec in (SPEC, longest):
        one, other = run(spec), run(spec)
        assert one == other
        ids = [item.request_id for item in one.campaigns]
        assert len(set(ids)) == 2
        assert all(len(request_id) <= 128 for request_id in ids)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec, images: (replace(spec, name="other"), images),
        lambda spec, images: (replace(spec, seed=6), images),
        lambda spec, images: (spec, images[::-1]),
        lambda spec, images: (spec, images[:3]),
        lambda spec, images: (spec, [*images[:3], replace(images[3], label=0)]),
        lambda spec, images: (spec, [*images[:3], replace(images[3], label=None)]),
        lambda spec, images: (replace(spec, accept_unreviewed=False), images),
        lambda spec, images: (replace(spec, attack_misclassified=True), images),
        lambda spec, images: (replace(spec, segmenter=""), images),
        lambda spec, images: (replace(spec, groups=(FIRST,)), images),
        lambda spec, images: (replace(spec, groups=(SECOND, FIRST)), images),
        lambda spec, images: (replace(spec, groups=(replace(FIRST, name="1"), SECOND)), images),
        lambda spec, images: (replace(spec, groups=(replace(FIRST, budget=8), SECOND)), images),
        lambda spec, images: (
            replace(spec, groups=(FIRST, replace(SECOND, search=SearchSettings(crossover_rate=0.5)))), images,
        ),
    ],
)  # fmt: skip
def test_whatever_is_asked_for_differently_is_another_run(
    change: Callable[[Spec, list[CampaignImage]], tuple[Spec, list[CampaignImage]]],
) -> None:
    spec, images = change(SPEC, list(IMAGES))
    before, after = run(), run(spec, images)
    assert before.label != after.label
    assert not {c.request_id for c in before.campaigns} & {c.request_id for c in after.campaigns}


def test_where_the_file_lies_does_not_matter() -> None:
    assert run(replace(SPEC, path=SPEC.path / "elsewhere.toml")) == run()


def test_goals_by_name_and_number() -> None:
    group = replace(FIRST, targets=("net",), goals=("frog", "0", "untargeted"))
    assert group_spec(SPEC, group, IMAGES, TARGETS).goals == (Goal(2), Goal(0), Goal())
    both = replace(FIRST, goals=("dog",))
    with pytest.raises(
        PlanError, match=r"mine.toml: attacks.first.goals: 'dog' is class 1 of net, 0 of other"
    ):
        group_spec(SPEC, both, IMAGES, TARGETS)
    with pytest.raises(PlanError, match="'cow' is no class of net"):
        group_spec(SPEC, replace(FIRST, goals=("cow",)), IMAGES, TARGETS)
    many = replace(OTHER, classes=1000)
    with pytest.raises(PlanError, match="know different numbers of classes"):
        group_spec(SPEC, replace(FIRST, goals=("all",)), IMAGES, [TARGET, many])


def test_too_many_attacks_for_one_campaign() -> None:
    images = [IMAGES[0]] * 62_501
    with pytest.raises(SpecError, match=r"attacks.first: images: 1000016 attacks are more than 1000000"):
        group_spec(SPEC, replace(FIRST, pixels=(1, 3, 5, 7)), images, TARGETS)


def test_targets_are_those_of_all_groups_and_must_be_there() -> None:
    assert targets_of(SPEC, [OTHER, TARGET]) == [TARGET, OTHER]
    with pytest.raises(PlanError, match="unknown target 'other'"):
        targets_of(SPEC, [TARGET])
    small = Target("other", True, "", 8, 8, 3, (), True)
    with pytest.raises(PlanError, match="attack them separately"):
        targets_of(SPEC, [TARGET, small])
