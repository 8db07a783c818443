"""What every registered search must do, whatever its method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixelprobe_services.common.values import InvalidSpecError, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.search import (
    SEARCHES,
    Scene,
    Search,
    SearchProtocolError,
    SearchState,
    create_search,
    restore_search,
)


@dataclass(frozen=True)
class Case:
    """A search, and how many pixels it changes."""

    strategy: Strategy
    pixels: int

    def __str__(self) -> str:
        return f"{self.strategy.value}-{self.pixels}"


CASES = [
    Case(strategy, pixels)
    for strategy, search in SEARCHES.items()
    for pixels in (1, 2, 3)
    if search.max_pixels is None or pixels <= search.max_pixels
]
SEEDED = [case for case in CASES if case.strategy not in (Strategy.CORNER_SCAN, Strategy.SKETCH)]
every_search = pytest.mark.parametrize("case", CASES, ids=str)
cases = st.sampled_from(CASES)

ROWS, COLUMNS = 5, 6
IMAGE = np.random.default_rng(5).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
ALLOWED = np.random.default_rng(6).random((ROWS, COLUMNS)) < 0.7
SCENE = Scene(IMAGE, RegionMap(ALLOWED), clean_cost=0.9)


def new(case: Case, population: int = 6, generations: int = 4, seed: int = 11) -> Search:
    chosen = SearchSettings(strategy=case.strategy, population=population, generations=generations)
    search = create_search(chosen, case.pixels, seed)
    search.bind(SCENE)
    return search


def restored(state: SearchState) -> Search:
    search = restore_search(state)
    search.bind(SCENE)
    return search


def costs_of(genes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities in steps, so that equal costs come up."""
    cost: NDArray[np.float64] = np.floor(8 * np.abs(genes - 0.3)).mean(axis=(1, 2)) / 8
    return cost


def asked_until_finished(search: Search) -> list[bytes]:
    asked = []
    while not search.finished:
        genes = search.ask()
        asked.append(genes.tobytes())
        search.tell(costs_of(genes))
    return asked


@given(cases, st.integers(4, 9), st.integers(1, 5), st.integers(0, 2**128 - 1))
@settings(max_examples=80, deadline=None)
def test_a_run_ends_and_keeps_its_best(case: Case, population: int, generations: int, seed: int) -> None:
    search = new(case, population, generations, seed)
    assert (search.generation, search.finished) == (-1, False)
    costs: list[float] = []
    number = 0
    while not search.finished:
        genes = search.ask()
        assert genes.shape[0] >= 1
        assert genes.shape[1:] == (case.pixels, 5)
        assert genes.dtype == np.float64
        assert genes.min() >= 0.0
        assert genes.max() <= 1.0
        cost = costs_of(genes)
        search.tell(cost)
        assert search.generation == number
        number += 1
        costs += cost.tolist()
        assert search.best_cost == min(costs)
        assert isinstance(search.best_cost, float)
        assert search.best_candidate.shape == (case.pixels, 5)
        assert costs_of(search.best_candidate[None]) == min(costs)
    with pytest.raises(SearchProtocolError):
        search.ask()
    with pytest.raises(SearchProtocolError):
        search.tell(np.zeros(population))


@given(cases, st.integers(0, 2**32), st.integers(0, 40), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_restored_search_continues_bit_for_bit(
    case: Case, seed: int, steps: int, through_bytes: bool, again: bool
) -> None:
    """Saved before the start, between ask and tell, between generations, or at the end."""
    uninterrupted, interrupted = new(case, seed=seed), new(case, seed=seed)
    for step in range(steps):
        if uninterrupted.finished:
            break
        for search in (uninterrupted, interrupted):
            if step % 2:
                search.tell(costs_of(search.ask()))
            else:
                search.ask()
    for _ in range(1 + again):
        state = interrupted.state()
        if through_bytes:
            state = SearchState.from_bytes(state.to_bytes())
        interrupted = restored(state)
    assert interrupted.settings == uninterrupted.settings
    assert (interrupted.name, interrupted.pixels) == (uninterrupted.name, uninterrupted.pixels)
    assert interrupted.generation == uninterrupted.generation
    if interrupted.generation >= 0:
        assert interrupted.best_cost == uninterrupted.best_cost
        np.testing.assert_array_equal(interrupted.best_candidate, uninterrupted.best_candidate)
    assert interrupted.state().to_bytes() == uninterrupted.state().to_bytes()
    assert asked_until_finished(interrupted) == asked_until_finished(uninterrupted)
    assert interrupted.state().to_bytes() == uninterrupted.state().to_bytes()
    assert interrupted.conclusion == uninterrupted.conclusion


@every_search
def test_a_state_does_not_change_while_the_search_continues(case: Case) -> None:
    search = new(case)
    search.tell(costs_of(search.ask()))
    search.ask()
    state = search.state()
    before = state.to_bytes()
    rest = asked_until_finished(search)
    assert state.to_bytes() == before
    assert asked_until_finished(restored(state)) == rest
    assert state.to_bytes() == before


@every_search
def test_the_same_seed_gives_the_same_run(case: Case) -> None:
    assert asked_until_finished(new(case)) == asked_until_finished(new(case))


@pytest.mark.parametrize("case", SEEDED, ids=str)
def test_another_seed_gives_another_run(case: Case) -> None:
    assert asked_until_finished(new(case)) != asked_until_finished(new(case, seed=12))


@every_search
def test_only_its_own_random_generator_matters(case: Case) -> None:
    expected = asked_until_finished(new(case))
    np.random.seed(1)
    first, second = new(case), new(case)
    interleaved = []
    while not first.finished:
        np.random.random()
        interleaved.append(first.ask().tobytes())
        first.tell(costs_of(first.ask()))
        second.tell(costs_of(second.ask()))
    assert interleaved == expected


@every_search
def test_ask_returns_the_same_candidates_until_tell(case: Case) -> None:
    search = new(case)
    asked = search.ask()
    assert search.ask() is asked
    with pytest.raises(ValueError, match="read-only"):
        asked[0, 0, 0] = 0.5
    search.tell(costs_of(asked))
    assert not np.array_equal(search.ask(), asked)


@every_search
@pytest.mark.parametrize("kind", ["short", "long", "column", "scalar", "nan", "one nan"])
def test_costs_that_do_not_fit_are_refused_and_change_nothing(case: Case, kind: str) -> None:
    search = new(case)
    search.tell(costs_of(search.ask()))
    count = len(search.ask())
    cost = {
        "short": np.zeros(count - 1),
        "long": np.zeros(count + 1),
        "column": np.zeros((count, 1)),
        "scalar": np.zeros(()),
        "nan": np.full(count, np.nan),
        "one nan": np.array([0.0] * (count - 1) + [np.nan]),
    }[kind]
    before = search.state().to_bytes()
    with pytest.raises(ValueError, match="cost"):
        search.tell(cost)
    assert search.state().to_bytes() == before


@every_search
def test_infinite_costs_are_ordinary_extremes(case: Case) -> None:
    search = new(case)
    search.tell(np.full(len(search.ask()), np.inf))
    assert search.best_cost == np.inf
    second = search.ask()
    cost = np.full(len(second), np.inf)
    cost[-1] = -np.inf
    search.tell(cost)
    assert search.best_cost == -np.inf
    np.testing.assert_array_equal(search.best_candidate, second[-1])


@every_search
def test_the_caller_may_reuse_its_array_of_costs(case: Case) -> None:
    search = new(case)
    cost = costs_of(search.ask()) + 1
    best = float(cost.min())
    search.tell(cost)
    cost[:] = -5
    assert search.best_cost == best


@every_search
def test_there_is_no_best_before_tell_and_no_tell_before_ask(case: Case) -> None:
    search = new(case)
    with pytest.raises(SearchProtocolError):
        search.tell(np.zeros(6))
    search.ask()
    with pytest.raises(SearchProtocolError):
        _ = search.best_cost
    with pytest.raises(SearchProtocolError):
        _ = search.best_candidate


@every_search
def test_a_search_that_needs_a_scene_says_so(case: Case) -> None:
    search = create_search(SearchSettings(strategy=case.strategy), case.pixels, 1)
    if search.needs_scene:
        with pytest.raises(SearchProtocolError, match="scene"):
            search.ask()
    else:
        assert len(search.ask())


@every_search
def test_a_candidate_has_at_least_one_edit(case: Case) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        create_search(SearchSettings(strategy=case.strategy), 0, 1)
    assert caught.value.field == "pixels"


@every_search
def test_a_state_names_the_search_that_wrote_it(case: Case) -> None:
    assert new(case).name == new(case).state().name == case.strategy.value
