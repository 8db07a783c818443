from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chisquare, kstest

from pixelprobe_services.common.values import SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.perturbation import decode
from pixelprobe_services.orchestrator.core.search.differential_evolution import (
    DifferentialEvolution,
    crossed,
    distinct_indices,
    latin_hypercube,
)

SMALL = SearchSettings(population=12, generations=40)
NEVER_REJECTED = 1e-4
"""Distribution checks have fixed seeds: one that passes at this level passes always."""

FINGERPRINT = "e26ec2b2c6f6f06bea62ac9113e9ac2abf28e4a4a70af1e6bc35a23aa7acace7"


def sphere(genes: NDArray[np.float64]) -> NDArray[np.float64]:
    cost: NDArray[np.float64] = ((genes - 0.3) ** 2).sum(axis=(1, 2))
    return cost


def staircase(genes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Flat nearly everywhere, as the cost of 8-bit pixels is."""
    cost: NDArray[np.float64] = np.floor(np.abs(genes - 0.3) * 8).sum(axis=(1, 2))
    return cost


def run(
    search: DifferentialEvolution, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> list[float]:
    history = []
    while not search.finished:
        search.tell(function(search.ask()))
        history.append(search.best_cost)
    return history


@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_a_latin_hypercube_has_one_point_in_each_stratum(seed: int, size: int, dimensions: int) -> None:
    points = latin_hypercube(np.random.default_rng(seed), size, dimensions)
    assert points.shape == (size, dimensions)
    strata = np.sort(np.floor(points * size), axis=0)
    np.testing.assert_array_equal(strata, np.tile(np.arange(size)[:, None], (1, dimensions)))


def test_a_latin_hypercube_is_uniform_within_strata_and_its_dimensions_are_independent() -> None:
    points = latin_hypercube(np.random.default_rng(1), 2000, 3)
    assert kstest(points[:, 0] * 2000 % 1, "uniform").pvalue > NEVER_REJECTED
    assert np.abs(np.corrcoef(points.T) - np.eye(3)).max() < 0.1


def test_the_start_population_is_a_latin_hypercube_over_all_genes() -> None:
    start = DifferentialEvolution(SMALL, 3, seed=5).ask()
    strata = np.sort(np.floor(start * 12).reshape(12, 15), axis=0)
    np.testing.assert_array_equal(strata, np.tile(np.arange(12)[:, None], (1, 15)))


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(4, 30))
@settings(max_examples=50, deadline=None)
def test_drawn_indices_differ_from_the_parent_and_one_another(seed: int, count: int, size: int) -> None:
    drawn = distinct_indices(np.random.default_rng(seed), size, count)
    assert drawn.shape == (count, size)
    assert drawn.min() >= 0
    assert drawn.max() < size
    for parent, column in enumerate(drawn.T.tolist()):
        assert len({parent, *column}) == count + 1


@pytest.mark.parametrize(("size", "count", "choices"), [(4, 3, 6), (5, 3, 24), (6, 3, 60), (5, 2, 12)])
def test_all_choices_of_indices_are_equally_likely(size: int, count: int, choices: int) -> None:
    rng = np.random.default_rng(size)
    seen: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(size)]
    for _ in range(3000):
        for parent, column in enumerate(distinct_indices(rng, size, count).T.tolist()):
            seen[parent][tuple(column)] += 1
    for counter in seen:
        assert len(counter) == choices
        assert chisquare(list(counter.values())).pvalue > NEVER_REJECTED


@pytest.mark.parametrize(("rate", "crossed_genes"), [(0.0, 1), (1.0, 15)])
def test_one_gene_always_crosses_and_all_do_at_rate_one(rate: float, crossed_genes: int) -> None:
    mask = crossed(np.random.default_rng(2), (300, 15), rate)
    assert (mask.sum(axis=1) == crossed_genes).all()


def test_the_gene_that_always_crosses_is_any_and_the_others_cross_at_the_rate() -> None:
    rng = np.random.default_rng(3)
    assert chisquare(crossed(rng, (20_000, 5), 0.0).sum(axis=0)).pvalue > NEVER_REJECTED
    # 1 - (1 - CR) (1 - 1 / genes): chosen for certain, or else by the rate.
    assert crossed(rng, (20_000, 5), 0.7).mean() == pytest.approx(1 - 0.3 * 0.8, abs=0.005)


def wide_open(strategy: Strategy, **changes: float) -> DifferentialEvolution:
    """All genes cross, and a start population so narrow that no mutant leaves [0, 1]."""
    chosen = replace(SMALL, strategy=strategy, crossover_rate=1.0, **changes)  # type: ignore[arg-type]
    search = DifferentialEvolution(chosen, 1, seed=9)
    search.tell(sphere(search.ask()))
    assert search._population is not None
    search._population = 0.4 + 0.2 * search._population
    return search


@pytest.mark.parametrize("strategy", Strategy)
def test_mutants_are_made_by_equation_11(strategy: Strategy) -> None:
    """Each trial is base + F (x_r2 - x_r3) for some parents, with one F in [low, high) for all."""
    search = wide_open(strategy)
    assert search._population is not None
    parents = search._population.reshape(12, 5)
    best = parents[search._cost.argmin()]  # type: ignore[union-attr]
    factors = []
    for parent, trial in enumerate(search.ask().reshape(12, 5)):
        others = [index for index in range(12) if index != parent]
        bases = [(None, best)] if strategy is Strategy.BEST1BIN else [(r1, parents[r1]) for r1 in others]
        found = [
            factor
            for r1, base in bases
            for r2 in others
            for r3 in others
            if len({r1, r2, r3}) == 3
            and np.ptp(ratio := (trial - base) / (parents[r2] - parents[r3])) < 1e-6
            and (factor := float(ratio.mean())) > 0
        ]
        assert len(found) == 1
        factors += found
    assert np.ptp(factors) < 1e-6
    assert 0.5 <= factors[0] < 1.0


def test_the_factor_is_drawn_anew_from_its_interval_each_generation() -> None:
    search = wide_open(Strategy.BEST1BIN, mutation_low=0.25, mutation_high=0.75)
    factors = []
    for _ in range(400):
        # Parents 0.5, but for one gene of one parent: its differences are F times 0.1, or nothing.
        search._population = np.full((12, 1, 5), 0.5)
        search._population[3, 0, 2] = 0.6
        search._cost = np.arange(12.0)
        difference = np.abs(search.ask()[:, 0, 2] - 0.5)
        search.generation, search._asked = 0, None
        if difference.max() > 0:
            factors.append(difference.max() / 0.1)
    assert kstest(factors, "uniform", args=(0.25, 0.5)).pvalue > NEVER_REJECTED
    fixed = wide_open(Strategy.RAND1BIN, mutation_low=0.5, mutation_high=0.5)
    assert fixed.ask().shape == (12, 1, 5)


def test_best1bin_starts_at_the_best() -> None:
    """With F = 0 a mutant is its base: the best parent, for every trial."""
    search = wide_open(Strategy.BEST1BIN, mutation_low=0.0, mutation_high=0.0)
    assert search._population is not None
    assert search._cost is not None
    best = search._population[np.argmin(search._cost)]
    np.testing.assert_array_equal(search.ask(), np.tile(best, (12, 1, 1)))


def test_rand1bin_starts_at_any_other_parent() -> None:
    search = wide_open(Strategy.RAND1BIN, mutation_low=0.0, mutation_high=0.0)
    assert search._population is not None
    parents = search._population.tolist()
    bases = [parents.index(trial) for trial in search.ask().tolist()]
    assert len(set(bases)) > 4
    assert all(base != parent for parent, base in enumerate(bases))


def test_without_crossover_a_trial_differs_from_its_parent_in_one_gene() -> None:
    search = DifferentialEvolution(replace(SMALL, crossover_rate=0.0), 3, seed=4)
    parents = search.ask()
    search.tell(sphere(parents))
    assert ((search.ask() != parents).sum(axis=(1, 2)) == 1).all()


def test_selection_is_greedy_and_takes_a_trial_that_is_as_good() -> None:
    search = DifferentialEvolution(SMALL, 1, seed=6)
    parents = search.ask()
    search.tell(np.full(12, 0.5))
    trials = search.ask()
    told = np.array([0.4, 0.5, 0.6] * 4)
    search.tell(told)
    replaced = told <= 0.5
    assert search._population is not None
    np.testing.assert_array_equal(search._population[replaced], trials[replaced])
    np.testing.assert_array_equal(search._population[~replaced], parents[~replaced])
    np.testing.assert_array_equal(search._cost, np.minimum(told, 0.5))
    assert search.best_cost == 0.4
    np.testing.assert_array_equal(search.best_candidate, trials[0])


@given(st.integers(0, 2**64), st.sampled_from(Strategy), st.floats(0, 2))
@settings(max_examples=50, deadline=None)
def test_genes_never_leave_zero_to_one(seed: int, strategy: Strategy, low: float) -> None:
    chosen = replace(SMALL, strategy=strategy, mutation_low=low, mutation_high=2.0, generations=5)
    search = DifferentialEvolution(chosen, 2, seed)
    while not search.finished:
        genes = search.ask()
        assert genes.min() >= 0.0
        assert genes.max() <= 1.0
        search.tell(-sphere(genes))  # drives the population into the corners


def test_genes_that_leave_are_drawn_anew_uniformly() -> None:
    chosen = SearchSettings(population=4000, crossover_rate=1.0, mutation_low=1.0, mutation_high=1.0)
    search = DifferentialEvolution(chosen, 1, seed=8)
    corners = (search.ask() > 0.5).astype(np.float64)
    search.tell(np.zeros(4000))
    search._population = corners
    # Mutants of corners are -1, 0, 1 or 2: what is not a corner was drawn anew.
    genes = search.ask().ravel()
    drawn = genes[(genes != 0.0) & (genes != 1.0)]
    assert 0.2 < len(drawn) / len(genes) < 0.3  # 1/4: half the mutants move, half of these leave
    assert kstest(drawn, "uniform").pvalue > NEVER_REJECTED


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("pixels", [1, 3])
def test_it_minimises_a_sphere(strategy: Strategy, pixels: int) -> None:
    chosen = SearchSettings(strategy=strategy, population=60, generations=150)
    history = run(DifferentialEvolution(chosen, pixels, seed=1), sphere)
    assert len(history) == 151
    assert history == sorted(history, reverse=True)
    assert history[-1] < 0.01 * history[0]
    assert history[-1] < 1e-2


@pytest.mark.parametrize("strategy", Strategy)
def test_it_minimises_a_function_of_steps(strategy: Strategy) -> None:
    chosen = SearchSettings(strategy=strategy, population=60, generations=60)
    history = run(DifferentialEvolution(chosen, 3, seed=2), staircase)
    assert history[0] > 0
    assert history[-1] == 0


def test_a_seed_means_the_same_candidates_for_good() -> None:
    """Published results name their seed: what changes this run changes every one of them."""
    search = DifferentialEvolution(SMALL, 2, seed=2**127 + 1)
    digest = hashlib.sha256()
    while not search.finished:
        digest.update(decode(search.ask(), height=32, width=32).astype("<i2").tobytes())
        search.tell(staircase(search.ask()))
    assert digest.hexdigest() == FINGERPRINT
