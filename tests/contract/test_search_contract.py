"""What every registered search must do, whatever its method."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixelprobe_services.common.values import InvalidSpecError, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.search import (
    SEARCHES,
    Search,
    SearchProtocolError,
    SearchState,
    create_search,
    restore_search,
)

SMALL = SearchSettings(population=6, generations=4)
every_search = pytest.mark.parametrize("name", SEARCHES)
names = st.sampled_from(sorted(SEARCHES))


def new(name: str, chosen: SearchSettings = SMALL, pixels: int = 2, seed: int = 11) -> Search:
    if name in {strategy.value for strategy in Strategy}:
        chosen = replace(chosen, strategy=Strategy(name))
        name = ""
    return create_search(chosen, pixels, seed, name or None)


def costs_of(genes: NDArray[np.float64]) -> NDArray[np.float64]:
    """In steps, so that equal costs come up."""
    cost: NDArray[np.float64] = np.floor(8 * np.abs(genes - 0.3)).sum(axis=(1, 2))
    return cost


def asked_until_finished(search: Search) -> list[bytes]:
    asked = []
    while not search.finished:
        genes = search.ask()
        asked.append(genes.tobytes())
        search.tell(costs_of(genes))
    return asked


@given(names, st.integers(4, 9), st.integers(1, 3), st.integers(1, 5), st.integers(0, 2**128 - 1))
@settings(max_examples=60, deadline=None)
def test_a_run_has_a_start_population_and_its_generations(
    name: str, population: int, pixels: int, generations: int, seed: int
) -> None:
    search = new(name, SearchSettings(population=population, generations=generations), pixels, seed)
    assert (search.generation, search.finished) == (-1, False)
    told: list[float] = []
    for number in range(generations + 1):
        assert not search.finished
        genes = search.ask()
        assert genes.shape == (population, pixels, 5)
        assert genes.dtype == np.float64
        assert genes.min() >= 0.0
        assert genes.max() <= 1.0
        cost = costs_of(genes)
        search.tell(cost)
        assert search.generation == number
        told += cost.tolist()
        assert search.best_cost == min(told)
        assert isinstance(search.best_cost, float)
        assert search.best_candidate.shape == (pixels, 5)
        assert costs_of(search.best_candidate[None]) == min(told)
    assert search.finished
    with pytest.raises(SearchProtocolError):
        search.ask()
    with pytest.raises(SearchProtocolError):
        search.tell(np.zeros(population))


@given(names, st.integers(0, 2**32), st.integers(0, 9), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_restored_search_goes_on_bit_for_bit(
    name: str, seed: int, steps: int, through_bytes: bool, again: bool
) -> None:
    """Put away before the start, between asking and telling, between generations, or at the end."""
    uninterrupted, interrupted = new(name, seed=seed), new(name, seed=seed)
    for step in range(steps):
        for search in (uninterrupted, interrupted):
            if step % 2:
                search.tell(costs_of(search.ask()))
            else:
                search.ask()
    for _ in range(1 + again):
        state = interrupted.state()
        if through_bytes:
            state = SearchState.from_bytes(state.to_bytes())
        interrupted = restore_search(state)
    assert interrupted.settings == uninterrupted.settings
    assert (interrupted.name, interrupted.pixels) == (uninterrupted.name, uninterrupted.pixels)
    assert interrupted.generation == uninterrupted.generation
    if interrupted.generation >= 0:
        assert interrupted.best_cost == uninterrupted.best_cost
        np.testing.assert_array_equal(interrupted.best_candidate, uninterrupted.best_candidate)
    assert interrupted.state().to_bytes() == uninterrupted.state().to_bytes()
    assert asked_until_finished(interrupted) == asked_until_finished(uninterrupted)
    assert interrupted.state().to_bytes() == uninterrupted.state().to_bytes()


@every_search
def test_a_state_stays_as_it_was_while_the_search_goes_on(name: str) -> None:
    search = new(name)
    search.tell(costs_of(search.ask()))
    search.ask()
    state = search.state()
    before = state.to_bytes()
    rest = asked_until_finished(search)
    assert state.to_bytes() == before
    assert asked_until_finished(restore_search(state)) == rest
    assert state.to_bytes() == before


@every_search
def test_the_same_seed_gives_the_same_run_and_another_another(name: str) -> None:
    assert asked_until_finished(new(name)) == asked_until_finished(new(name))
    assert set(asked_until_finished(new(name))).isdisjoint(asked_until_finished(new(name, seed=12)))


@every_search
def test_nobody_elses_randomness_matters(name: str) -> None:
    expected = asked_until_finished(new(name))
    np.random.seed(1)
    first, second = new(name), new(name)
    interleaved = []
    while not first.finished:
        np.random.random()
        interleaved.append(first.ask().tobytes())
        first.tell(costs_of(first.ask()))
        second.tell(costs_of(second.ask()))
    assert interleaved == expected


@every_search
def test_asking_again_gives_the_same_candidates_until_they_are_told(name: str) -> None:
    search = new(name)
    asked = search.ask()
    assert search.ask() is asked
    with pytest.raises(ValueError, match="read-only"):
        asked[0, 0, 0] = 0.5
    search.tell(costs_of(asked))
    assert not np.array_equal(search.ask(), asked)


@every_search
@pytest.mark.parametrize(
    "cost",
    [np.zeros(5), np.zeros(7), np.zeros((6, 1)), np.zeros(()), np.full(6, np.nan), [0.0] * 5 + [np.nan]],
    ids=["short", "long", "column", "scalar", "nan", "one nan"],
)
def test_costs_that_do_not_fit_are_refused_and_change_nothing(name: str, cost: NDArray[np.float64]) -> None:
    search = new(name)
    search.tell(costs_of(search.ask()))
    search.ask()
    before = search.state().to_bytes()
    with pytest.raises(ValueError, match="cost"):
        search.tell(cost)
    assert search.state().to_bytes() == before


@every_search
def test_infinite_costs_are_only_very_bad_or_very_good(name: str) -> None:
    search = new(name)
    search.ask()
    search.tell(np.full(6, np.inf))
    assert search.best_cost == np.inf
    second = search.ask()
    search.tell(np.array([np.inf, np.inf, 0.5, np.inf, -np.inf, 1.0]))
    assert search.best_cost == -np.inf
    np.testing.assert_array_equal(search.best_candidate, second[4])


@every_search
def test_the_caller_may_do_as_it_likes_with_its_costs(name: str) -> None:
    search = new(name)
    cost = costs_of(search.ask()) + 1
    best = float(cost.min())
    search.tell(cost)
    cost[:] = -5
    assert search.best_cost == best


@every_search
def test_there_is_no_best_before_anything_was_told_and_no_telling_before_asking(name: str) -> None:
    search = new(name)
    with pytest.raises(SearchProtocolError):
        search.tell(np.zeros(6))
    search.ask()
    with pytest.raises(SearchProtocolError):
        _ = search.best_cost
    with pytest.raises(SearchProtocolError):
        _ = search.best_candidate


@every_search
def test_a_candidate_has_at_least_one_edit(name: str) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        new(name, pixels=0)
    assert caught.value.field == "pixels"


@every_search
def test_a_state_names_the_search_that_wrote_it(name: str) -> None:
    assert new(name).name == new(name).state().name == name
