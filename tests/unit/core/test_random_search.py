from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.search.random_search import RandomSearch


def test_candidates_are_uniform_whatever_it_is_told() -> None:
    search = RandomSearch(SearchSettings(population=500, generations=5), 2, seed=3)
    while not search.finished:
        genes = search.ask()
        assert kstest(genes.ravel(), "uniform").pvalue > 1e-4
        search.tell(genes.sum(axis=(1, 2)))


def test_the_first_of_equally_good_candidates_stays_the_best() -> None:
    search = RandomSearch(SearchSettings(population=4, generations=2), 1, seed=3)
    first = search.ask()[1]
    search.tell(np.array([0.5, 0.25, 0.25, 0.5]))
    search.ask()
    search.tell(np.full(4, 0.25))
    np.testing.assert_array_equal(search.best_candidate, first)
    better = search.ask()[3]
    search.tell(np.array([0.5, 0.5, 0.5, 0.125]))
    np.testing.assert_array_equal(search.best_candidate, better)
    assert search.best_cost == 0.125
