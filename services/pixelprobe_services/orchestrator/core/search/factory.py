"""Which searches there are, by name; the one place to register another."""

from __future__ import annotations

from pixelprobe_services.common.values import InvalidSpecError, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.differential_evolution import DifferentialEvolution
from pixelprobe_services.orchestrator.core.search.random_search import RandomSearch
from pixelprobe_services.orchestrator.core.search.state import SearchState, StateVersionError

SEARCHES: dict[str, type[Search]] = {
    Strategy.RAND1BIN.value: DifferentialEvolution,
    Strategy.BEST1BIN.value: DifferentialEvolution,
    "random": RandomSearch,
}


def create_search(settings: SearchSettings, pixels: int, seed: int, name: str | None = None) -> Search:
    """A search that has not begun.

    Args:
        settings: of the search; its strategy names the search unless ``name`` does.
        pixels: edits of a candidate, k >= 1.
        seed: any non-negative integer; all randomness comes from it.
        name: one of ``SEARCHES``.

    Raises:
        InvalidSpecError: no such search, or ``pixels`` below 1.
    """
    search = SEARCHES.get(name or settings.strategy.value)
    if search is None:
        raise InvalidSpecError("search.strategy", f"{name!r} is none of {', '.join(SEARCHES)}")
    return search(settings, pixels, seed)


def restore_search(state: SearchState) -> Search:
    """The search that gave ``state``, to go on bit for bit as if it had not been interrupted.

    Raises:
        StateVersionError: a search that this program does not know.
        StateDecodeError: the state does not hold together.
    """
    search = SEARCHES.get(state.name)
    if search is None:
        raise StateVersionError(f"saved by the search {state.name!r}, which this program does not know")
    return search.restore(state)
