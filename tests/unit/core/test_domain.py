from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe_services.common.values import (
    LEGAL_TRANSITIONS,
    AttackKey,
    CampaignState,
    Goal,
    IllegalTransitionError,
    InvalidSpecError,
    Ledger,
    Region,
    SearchSettings,
    attack_seed,
    check_transition,
    image_digest,
)

KEY = AttackKey("0" * 64, "vgg16_cifar10", Region.WHOLE, 1, Goal())
SEED_OF_KEY = 32479099168166497748627481650437960445


@pytest.mark.parametrize(
    "change",
    [
        {"image_digest": "1" * 64},
        {"target": "nin_cifar10"},
        {"region": Region.FOREGROUND},
        {"pixels": 3},
        {"goal": Goal(0)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_seed_differs_over_each_field_of_the_key(change: dict[str, Any]) -> None:
    assert attack_seed(7, replace(KEY, **change)) != attack_seed(7, KEY)


def test_the_seed_differs_over_the_campaigns_seed_and_the_target_class() -> None:
    assert attack_seed(8, KEY) != attack_seed(7, KEY)
    assert attack_seed(7, replace(KEY, goal=Goal(0))) != attack_seed(7, replace(KEY, goal=Goal(1)))


def test_all_attacks_of_a_campaign_have_seeds_of_their_own_in_whatever_order_they_are_derived() -> None:
    keys = [
        AttackKey(digest * 64, target, region, pixels, goal)
        for digest in "0123"
        for target in ("a", "b", "a\nb")
        for region in Region
        for pixels in (1, 3, 5, 35)
        for goal in (Goal(), Goal(1), Goal(11))
    ]
    forward = [attack_seed(7, key) for key in keys]
    backward = [attack_seed(7, key) for key in reversed(keys)]
    assert forward == backward[::-1]
    assert len(set(forward)) == len(keys)


def test_the_seed_is_a_fixed_128_bit_number() -> None:
    """Saved campaigns must find their seeds again, so this value may never change."""
    assert attack_seed(7, KEY) == SEED_OF_KEY
    assert 0 <= SEED_OF_KEY < 2**128


def test_the_digest_depends_on_shape_and_content_but_not_on_memory_layout() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert image_digest(image) != image_digest(image.reshape(4, 2, 3))
    assert image_digest(image) != image_digest(image[::-1])
    assert image_digest(image) == image_digest(np.asfortranarray(image))
    changed = image.copy()
    changed[1, 3, 2] += 1
    assert image_digest(changed) != image_digest(image)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("population", 3),
        ("population", 10_001),
        ("generations", 0),
        ("generations", 100_001),
        ("crossover_rate", -0.1),
        ("crossover_rate", 1.1),
        ("crossover_rate", float("nan")),
        ("mutation_low", -0.1),
        ("mutation_low", 1.5),
        ("mutation_low", float("nan")),
        ("mutation_high", 2.1),
        ("mutation_high", float("nan")),
        ("stop_check_queries", 0),
    ],
)
def test_search_settings_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        replace(SearchSettings(), **{field: value})
    named = "mutation_low" if field == "mutation_high" else field
    assert caught.value.field == f"search.{named}"


def test_the_default_search_is_the_papers() -> None:
    settings = SearchSettings()
    assert (settings.population, settings.generations, settings.strategy.value) == (400, 100, "rand1bin")
    assert (settings.mutation_low, settings.mutation_high, settings.crossover_rate) == (0.5, 1.0, 0.7)


@pytest.mark.parametrize("old", CampaignState)
@pytest.mark.parametrize("new", CampaignState)
def test_only_legal_state_changes_pass(old: CampaignState, new: CampaignState) -> None:
    if new in LEGAL_TRANSITIONS[old]:
        check_transition(old, new)
    else:
        with pytest.raises(IllegalTransitionError):
            check_transition(old, new)


def test_a_campaign_that_succeeded_stays_so_and_a_cancelled_one_can_only_be_resumed() -> None:
    assert not LEGAL_TRANSITIONS[CampaignState.SUCCEEDED]
    assert LEGAL_TRANSITIONS[CampaignState.CANCELLED] == {CampaignState.RUNNING}
    assert set(LEGAL_TRANSITIONS) == set(CampaignState)


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3)))
def test_ledgers_add_up_column_by_column(rows: list[tuple[int, int, int]]) -> None:
    total = sum((Ledger(*row) for row in rows), Ledger())
    assert (total.sent, total.skipped, total.repeated) == tuple(
        sum(row[column] for row in rows) for column in range(3)
    )
