"""Which searches there are, what each is able to do, and how one is created or restored."""

from __future__ import annotations

from collections.abc import Iterable

from pixelprobe_services.common.values import InvalidSpecError, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.search.auto import AutoFewPixels
from pixelprobe_services.orchestrator.core.search.base import Search
from pixelprobe_services.orchestrator.core.search.corner_scan import CornerScan
from pixelprobe_services.orchestrator.core.search.differential_evolution import DifferentialEvolution
from pixelprobe_services.orchestrator.core.search.random_search import RandomSearch
from pixelprobe_services.orchestrator.core.search.seeded import AutoOnePixel, SeededEvolution
from pixelprobe_services.orchestrator.core.search.sketch import SketchSearch
from pixelprobe_services.orchestrator.core.search.sparse_rs import SparseRandomSearch
from pixelprobe_services.orchestrator.core.search.state import (
    SearchState,
    StateDecodeError,
    StateVersionError,
)

SEARCHES: dict[Strategy, type[Search]] = {
    Strategy.RAND1BIN: DifferentialEvolution,
    Strategy.BEST1BIN: DifferentialEvolution,
    Strategy.RANDOM: RandomSearch,
    Strategy.CORNER_SCAN: CornerScan,
    Strategy.SKETCH: SketchSearch,
    Strategy.SPARSE_RS: SparseRandomSearch,
    Strategy.SEEDED: SeededEvolution,
    Strategy.AUTO: AutoOnePixel,
}
"""The class of each search; ``AUTO`` is :class:`AutoFewPixels` for more than one pixel."""


def check_search(settings: SearchSettings, pixel_counts: Iterable[int], *, labels_only: bool) -> None:
    """Refuse a search that cannot do what is asked, before any query.

    Args:
        settings: of the search.
        pixel_counts: edits of a candidate, of all attacks.
        labels_only: whether a target answers with labels and without scores.

    Raises:
        InvalidSpecError: it cannot; the description names the searches that can.
    """
    most = max(pixel_counts, default=1)
    if _can(settings.strategy, most, labels_only=labels_only):
        return
    search = SEARCHES[settings.strategy]
    if labels_only and search.needs_scores:
        lacks = "needs scores, and the target answers with labels alone"
    else:
        lacks = f"changes one pixel, not {most}"
    able = [str(name.value) for name in SEARCHES if _can(name, most, labels_only=labels_only)]
    raise InvalidSpecError(
        "search.strategy", f"{settings.strategy.value} {lacks}; searches that can: {', '.join(able)}"
    )


def create_search(settings: SearchSettings, pixels: int, seed: int) -> Search:
    """A search that has not begun; bind its scene before use.

    Args:
        settings: of the search; the strategy names it.
        pixels: edits of a candidate, k >= 1.
        seed: any non-negative integer; all randomness comes from it.

    Raises:
        InvalidSpecError: ``pixels`` below 1, or more than the search can handle.
    """
    return _class_of(settings.strategy, pixels)(settings, pixels, seed)


def restore_search(state: SearchState) -> Search:
    """The search that returned ``state``, to continue bit for bit; bind its scene before use.

    Raises:
        StateVersionError: a search that this program does not know.
        StateDecodeError: the state is inconsistent.
    """
    if state.name not in {strategy.value for strategy in SEARCHES}:
        raise StateVersionError(f"saved by the search {state.name!r}, which this program does not know")
    pixels = state.data.get("pixels")
    if not isinstance(pixels, int):
        raise StateDecodeError(f"the saved number of pixels is {pixels!r}")
    return _class_of(Strategy(state.name), pixels).restore(state)


def _class_of(strategy: Strategy, pixels: int) -> type[Search]:
    if strategy is Strategy.AUTO and pixels > 1:
        return AutoFewPixels
    return SEARCHES[strategy]


def _can(strategy: Strategy, pixels: int, *, labels_only: bool) -> bool:
    search = _class_of(strategy, pixels)
    few_enough = search.max_pixels is None or pixels <= search.max_pixels
    return few_enough and not (labels_only and search.needs_scores)
