"""Attacks on real served classifiers, through both services, judged from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Attack, Goal, Outcome, Region, RegionMode, SearchSettings, Strategy
from tests import processes
from tests.integration.asking import (
    CLASSIFIERS,
    IMAGES,
    SMALL,
    ask_triton,
    campaign,
    comparable,
    edited,
    images_scored,
    pixels_of,
    queries_scored,
    settled,
)

SOME = [IMAGES[index] for index in (0, 4, 6, 9)]


def outcomes(attacks: list[Attack]) -> list[Outcome]:
    return [attack.result.outcome for attack in attacks if attack.result]


@pytest.fixture(scope="module")
def strong_attacks(orchestrator_address: str, segmentation_address: str) -> list[Attack]:
    """Five pixels, so that enough of them succeed."""
    with PixelprobeClient(Addresses(orchestrator_address, segmentation_address)) as client:
        return campaign(
            client,
            SOME,
            targets=CLASSIFIERS,
            pixel_counts=(5,),
            search=SearchSettings(population=40, generations=3),
        )


def test_every_success_holds_from_outside(strong_attacks: list[Attack], local_triton: dict[str, str]) -> None:
    successes = [
        attack
        for attack in strong_attacks
        if attack.result is not None and attack.result.outcome is Outcome.SUCCESS
    ]
    assert len(successes) >= 5
    for attack in successes:
        result = attack.result
        assert result is not None
        clean = pixels_of(SOME[attack.image_index])
        adversarial = edited(clean, attack)
        changed = (clean != adversarial).any(axis=2)
        assert 1 <= changed.sum() <= attack.pixels
        assert len(result.edits) == changed.sum()
        if attack.region is not Region.WHOLE:
            assert result.mask is not None
            allowed = result.mask if attack.region is Region.FOREGROUND else ~result.mask
            assert not (changed & ~allowed).any()
        scores = ask_triton(local_triton["grpc"], attack.target, np.stack([clean, adversarial]))
        assert scores[0].argmax() == result.clean_top[0].class_index
        assert scores[0].max() == pytest.approx(result.clean_top[0].probability, abs=1e-5)
        assert scores[1].argmax() == result.best_top[0].class_index
        assert scores[1].max() == pytest.approx(result.best_top[0].probability, abs=1e-5)
        assert scores[1].argmax() != scores[0].argmax()
        # the best candidate's probabilities of the clean image's best classes
        np.testing.assert_allclose(
            result.best_probability_of_clean_top,
            [scores[1][score.class_index] for score in result.clean_top],
            atol=1e-5,
        )


def test_results_hang_together(strong_attacks: list[Attack]) -> None:
    assert len(strong_attacks) == len(SOME) * 3 * 3
    for attack in strong_attacks:
        result = attack.result
        assert result is not None
        assert result.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        fitness = np.array(result.fitness_by_generation)
        assert (np.diff(fitness) <= 0).all()
        if result.outcome is Outcome.SUCCESS:
            assert result.generations == max(1, len(fitness) - 1)
            assert 2 <= result.queries_to_success <= result.queries_sent
        else:
            assert (result.generations, len(fitness)) == (3, 4)
            # each candidate was sent, skipped or repeated; the clean image was sent too
            answered = result.queries_sent + result.queries_skipped + result.queries_repeated
            assert answered == 40 * 4 + 1
        if attack.region is Region.WHOLE:
            assert result.queries_skipped == 0
            assert result.region_area_fraction == 1


def test_regions_partition_the_image(strong_attacks: list[Attack]) -> None:
    by_region = {
        (attack.image_index, attack.target, attack.pixels, attack.region): attack.result
        for attack in strong_attacks
    }
    for (image, target, pixels, region), foreground in by_region.items():
        if region is Region.FOREGROUND:
            background = by_region[image, target, pixels, Region.BACKGROUND]
            assert foreground is not None
            assert background is not None
            total = foreground.region_area_fraction + background.region_area_fraction
            assert total == pytest.approx(1)


def test_queries_sent_is_what_triton_counted(client: PixelprobeClient, local_triton: dict[str, str]) -> None:
    model, edits = "allconv_cifar10", "allconv_cifar10_edits"
    whole_before = images_scored(local_triton["http"], model)
    attacks = campaign(client, IMAGES[:3], targets=("whole",))
    sent = sum(attack.result.queries_sent for attack in attacks if attack.result)
    assert sent > 100
    assert settled(lambda: images_scored(local_triton["http"], model)) - whole_before == sent

    sparse_before = queries_scored(local_triton["metrics"], edits)
    attacks = campaign(client, IMAGES[:3])
    sent = sum(attack.result.queries_sent for attack in attacks if attack.result)
    assert sent > 100
    assert settled(lambda: queries_scored(local_triton["metrics"], edits)) - sparse_before == sent


def test_sparse_and_whole_queries_give_the_same_results(client: PixelprobeClient) -> None:
    def without_target(attack: Attack) -> tuple[object, ...]:
        return tuple(value for value in comparable(attack) if value != attack.target)

    # A seed derives from the target's name, so the same name must answer both ways.
    sparse = campaign(client, IMAGES[3:5], targets=("allconv_cifar10",))
    again = campaign(client, IMAGES[3:5], targets=("allconv_cifar10",))
    whole = campaign(client, IMAGES[3:5], targets=("whole",))
    assert [comparable(attack) for attack in sparse] == [comparable(attack) for attack in again]
    assert [attack.result.clean_top for attack in sparse if attack.result] == [
        attack.result.clean_top for attack in whole if attack.result
    ]
    assert [without_target(attack) for attack in sparse] != [without_target(attack) for attack in whole]


def test_same_results_whatever_the_concurrency(
    client: PixelprobeClient, targets_file: Path, segmentation_address: str
) -> None:
    def run(asked: PixelprobeClient) -> list[tuple[object, ...]]:
        attacks = campaign(
            asked,
            IMAGES[:3],
            targets=("allconv_cifar10", "nin_cifar10"),
            pixel_counts=(1, 3),
            search=SMALL,
            seed=11,
        )
        return [comparable(attack) for attack in attacks]

    with (
        processes.orchestrator(targets_file, segmentation_address, "--attacks-in-flight", "1") as lonely,
        PixelprobeClient(Addresses(lonely.address, segmentation_address)) as other,
    ):
        one_at_a_time = run(other)
    assert run(client) == one_at_a_time


def test_another_seed_gives_another_search(client: PixelprobeClient) -> None:
    one = campaign(client, IMAGES[:1], regions=(Region.WHOLE,), seed=1)
    two = campaign(client, IMAGES[:1], regions=(Region.WHOLE,), seed=2)
    assert comparable(one[0]) != comparable(two[0])


def test_a_budget_is_never_exceeded(client: PixelprobeClient, local_triton: dict[str, str]) -> None:
    before = images_scored(local_triton["http"], "allconv_cifar10")
    attacks = campaign(
        client,
        IMAGES[:2],
        targets=("whole",),
        budget=57,
        search=SearchSettings(population=40, generations=50),
    )
    sent = [attack.result.queries_sent for attack in attacks if attack.result]
    assert Outcome.BUDGET_EXHAUSTED in outcomes(attacks)
    for attack in attacks:
        assert attack.result is not None
        assert attack.result.queries_sent <= 57
        if attack.result.outcome is Outcome.BUDGET_EXHAUSTED:
            assert attack.result.queries_sent == 57
            assert "57" in attack.result.reason
    assert settled(lambda: images_scored(local_triton["http"], "allconv_cifar10")) - before == sum(sent)


def test_a_budget_of_one_pays_for_the_clean_image(client: PixelprobeClient) -> None:
    attacks = campaign(client, IMAGES[:1], regions=(Region.WHOLE,), budget=1)
    assert outcomes(attacks) == [Outcome.ERROR]  # no candidate was answered: it says nothing of the model
    assert attacks[0].result is not None
    assert attacks[0].result.reason == "no candidate was answered: all 1 queries of the budget are spent"
    assert attacks[0].result.queries_sent == 1
    assert attacks[0].result.clean_top
    assert attacks[0].result.edits == ()


def test_targeted_attacks_reach_the_very_class(
    client: PixelprobeClient, local_triton: dict[str, str]
) -> None:
    clean = ask_triton(local_triton["grpc"], "allconv_cifar10", np.stack([pixels_of(one) for one in IMAGES]))
    ranked = np.sort(clean, axis=1)
    unsure = int((ranked[:, -1] - ranked[:, -2]).argmin())
    wanted = int(np.argsort(clean[unsure])[-2])
    sure = int(np.where(clean.argmax(axis=1) == wanted, 0, ranked[:, -1]).argmax())
    attacks = campaign(
        client,
        [IMAGES[unsure], IMAGES[sure]],
        regions=(Region.WHOLE,),
        pixel_counts=(3,),
        goals=(Goal(wanted),),
        search=SearchSettings(population=40, generations=4),
    )
    easy, hard = (attack.result for attack in attacks)
    assert easy is not None
    assert hard is not None
    assert easy.outcome is Outcome.SUCCESS
    image = edited(pixels_of(IMAGES[unsure]), attacks[0])
    scores = ask_triton(local_triton["grpc"], "allconv_cifar10", image[None])[0]
    assert scores.argmax() == wanted == easy.best_top[0].class_index
    assert hard.outcome is Outcome.FAILURE
    assert (np.diff(hard.fitness_by_generation) >= 0).all()  # the probability of the wanted class grows


def test_without_early_stop_all_generations_run(client: PixelprobeClient) -> None:
    attacks = campaign(
        client,
        SOME,
        regions=(Region.WHOLE,),
        pixel_counts=(5,),
        search=SearchSettings(population=40, generations=4, early_stop=False),
    )
    successes = [
        attack.result for attack in attacks if attack.result and attack.result.outcome is Outcome.SUCCESS
    ]
    assert successes
    for result in successes:
        assert len(result.fitness_by_generation) == 5
        assert result.queries_to_success <= result.queries_sent
        assert result.queries_sent + result.queries_repeated == 40 * 5 + 1


@pytest.mark.parametrize(
    "search",
    [
        SearchSettings(population=40, generations=3, strategy=Strategy.BEST1BIN),
        SearchSettings(population=40, generations=3, region_mode=RegionMode.PROJECT),
    ],
)
def test_the_other_ways_to_search(client: PixelprobeClient, search: SearchSettings) -> None:
    attacks = campaign(client, IMAGES[3:5], search=search)
    for attack in attacks:
        result = attack.result
        assert result is not None
        assert result.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        if search.region_mode is RegionMode.PROJECT:
            assert result.queries_skipped <= result.queries_sent // 10  # only edits in the pixel's own colour
