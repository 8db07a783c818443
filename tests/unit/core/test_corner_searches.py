"""Searches over corner colours: which candidates they try, in which order, and what they prove."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pixelprobe_services.common.values import InvalidSpecError, RegionMode, SearchSettings, Strategy
from pixelprobe_services.orchestrator.core.perturbation import decode, effective
from pixelprobe_services.orchestrator.core.region import RegionMap
from pixelprobe_services.orchestrator.core.search import Scene, Search, check_search, create_search
from pixelprobe_services.orchestrator.core.search.order import CornerOrder, corner_prior
from pixelprobe_services.orchestrator.core.search.scene import CORNERS

ROWS, COLUMNS = 12, 9
IMAGE = np.random.default_rng(1).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
IMAGE[3, 4] = (255, 0, 255)  # a corner: painting it so changes nothing
ALLOWED = np.zeros((ROWS, COLUMNS), dtype=np.bool_)
ALLOWED[2:9, 1:8] = True
SCENE = Scene(IMAGE, RegionMap(ALLOWED), clean_cost=0.9)
CANDIDATES = 8 * int(ALLOWED.sum()) - 1


def bound(
    strategy: Strategy, pixels: int = 1, scene: Scene = SCENE, population: int = 400, generations: int = 100
) -> Search:
    settings = SearchSettings(strategy=strategy, population=population, generations=generations)
    search = create_search(settings, pixels, seed=4)
    search.bind(scene)
    return search


def edits_of(genes: NDArray[np.float64], scene: Scene = SCENE) -> list[tuple[int, ...]]:
    """Of one-pixel candidates, checked to change one pixel of the region to a corner colour."""
    edits = decode(genes, *scene.size)
    kept = effective(edits, scene.image, scene.region, RegionMode.COMPOSITE)
    assert (kept.counts == 1).all()
    assert set(edits[..., 2:].ravel().tolist()) <= {0, 255}
    return [tuple(edit) for edit in edits[:, 0].tolist()]


@pytest.mark.parametrize("strategy", [Strategy.CORNER_SCAN, Strategy.SKETCH], ids=str)
def test_an_exact_search_tries_every_corner_candidate_once_and_concludes(strategy: Strategy) -> None:
    search = bound(strategy)
    rng = np.random.default_rng(2)
    tried: list[tuple[int, ...]] = []
    while not search.finished:
        assert search.conclusion == ""
        edits = edits_of(search.ask())
        tried += edits
        search.tell(rng.random(len(edits)))
    assert len(tried) == len(set(tried)) == CANDIDATES
    said = f"no corner colour of any pixel of the region fools this image (all {CANDIDATES} tried)"
    assert search.conclusion == said


def test_a_targeted_conclusion_names_the_target_class() -> None:
    search = bound(
        Strategy.CORNER_SCAN, scene=Scene(IMAGE, RegionMap(ALLOWED), clean_cost=-0.1, targeted=True)
    )
    while not search.finished:
        search.tell(np.full(len(search.ask()), -0.1))
    assert "reaches the target class" in search.conclusion


def test_pieces_grow() -> None:
    search = bound(Strategy.CORNER_SCAN, scene=Scene(np.full((40, 40, 3), 90, np.uint8), whole(40, 40), 0.8))
    sizes = []
    while not search.finished:
        sizes.append(len(search.ask()))
        search.tell(np.full(sizes[-1], 0.8))
    assert sizes[0] == 10
    assert sizes[:-1] == sorted(sizes[:-1])
    assert len(sizes) < 30


def test_the_first_candidate_has_the_largest_prior_times_squared_contrast() -> None:
    x, y, red, green, blue = edits_of(bound(Strategy.CORNER_SCAN).ask())[0]
    corner = CORNERS.tolist().index([red, green, blue])
    value = corner_prior(ROWS, COLUMNS) * SCENE.contrast**2
    assert value[corner, y, x] == pytest.approx(np.where(ALLOWED[None], value, 0.0).max())


def test_a_piece_does_not_crowd_in_one_place() -> None:
    """Of a flat image the likeliest candidates are neighbours; a piece spreads over the image."""
    scene = Scene(np.full((32, 32, 3), 100, np.uint8), whole(32, 32), clean_cost=0.9)
    order = CornerOrder(scene)
    value = (corner_prior(32, 32) * scene.contrast**2).reshape(-1)
    likeliest = np.argsort(-value, kind="stable")[:10]
    chosen = order.choose(np.empty(0, np.intp), np.empty(0), 10)

    def spread(numbers: NDArray[np.intp]) -> float:
        rows, columns = np.divmod(numbers % 1024, 32)
        return float(np.hypot(rows.std(), columns.std()))

    assert len(set(chosen.tolist())) == 10
    assert spread(chosen) > 2 * spread(likeliest)


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (7, 40)])
def test_the_prior_fits_any_size(size: tuple[int, int]) -> None:
    prior = corner_prior(*size)
    assert prior.shape == (8, *size)
    assert prior.min() > 0
    small = corner_prior(32, 32)
    assert prior.mean() == pytest.approx(small.mean(), rel=0.05)


def test_scores_raise_neighbours_of_what_helped_and_the_opposite_of_what_harmed() -> None:
    scene = Scene(np.full((32, 32, 3), 128, np.uint8), whole(32, 32), clean_cost=0.9)
    order = CornerOrder(scene)
    white = 7 * 1024

    def moved(progress: list[float]) -> NDArray[np.float64]:
        tried = np.array([white + 10 * 32 + 10, white + 20 * 32 + 20])
        now = np.zeros(8 * 1024)
        now[order.candidates] = order.ranks(tried, np.array(progress)) - order.ranks(tried, np.zeros(2))
        return now.reshape(8, 32, 32)

    helped = moved([0.8, 0.0])
    assert helped[7, 10, 11] > 0.1
    assert helped[7, 20, 21] < -0.1
    assert abs(helped[7, 31, 0]) < 1e-3
    assert helped[0, 20, 21] > 0.1  # black, where white did harm by comparison
    np.testing.assert_array_equal(moved([0.3, 0.3]), 0.0)


def test_costs_that_are_all_equal_say_nothing() -> None:
    """As where a target answers with labels alone: the order is the same whatever the cost."""

    def tried(cost: float) -> list[tuple[int, ...]]:
        search = bound(Strategy.CORNER_SCAN)
        edits: list[tuple[int, ...]] = []
        while not search.finished:
            edits += edits_of(search.ask())
            search.tell(np.full(len(search.ask()), cost))
        return edits

    assert tried(0.0) == tried(0.9) == tried(1.0)


def test_progress_is_one_at_the_boundary_whatever_the_goal() -> None:
    untargeted = Scene(IMAGE, RegionMap(ALLOWED), clean_cost=0.9)
    np.testing.assert_allclose(untargeted.progress(np.array([0.9, 0.5])), [0, 1], atol=1e-9)
    targeted = Scene(IMAGE, RegionMap(ALLOWED), clean_cost=-0.1, targeted=True)
    np.testing.assert_allclose(targeted.progress(np.array([-0.1, -0.5])), [0, 1], atol=1e-9)
    assert untargeted.progress(np.array([0.99]))[0] < 0
    assert np.isfinite(untargeted.progress(np.array([0.0, 1.0, np.inf]))).all()


def test_sketch_starts_at_the_centre_with_the_most_distant_corner() -> None:
    scene = Scene(np.full((9, 9, 3), 10, np.uint8), whole(9, 9), clean_cost=0.9)
    search = bound(Strategy.SKETCH, scene=scene)
    assert edits_of(search.ask(), scene) == [(4, 4, 255, 255, 255)]


def test_sketch_follows_a_large_drop_to_the_neighbours() -> None:
    scene = Scene(np.full((9, 9, 3), 10, np.uint8), whole(9, 9), clean_cost=0.9)
    search = bound(Strategy.SKETCH, scene=scene)
    search.ask()
    search.tell(np.array([0.2]))
    following = []
    for _ in range(8):
        following += edits_of(search.ask(), scene)
        search.tell(np.array([0.9]))
    around = {(x, y, 255, 255, 255) for x in (3, 4, 5) for y in (3, 4, 5)} - {(4, 4, 255, 255, 255)}
    assert set(following) == around


def test_a_seeded_population_is_the_best_of_the_scan() -> None:
    search = bound(Strategy.SEEDED, population=40, generations=3)
    scanned: dict[tuple[int, ...], float] = {}
    while len(scanned) < 40:
        edits = edits_of(search.ask())
        cost = np.random.default_rng(len(scanned)).random(len(edits))
        scanned.update(zip(edits, cost.tolist(), strict=True))
        search.tell(cost)
    start = edits_of(search.ask())
    assert start == sorted(scanned, key=scanned.__getitem__)


def test_several_pixels_start_with_the_best_single_ones() -> None:
    search = bound(Strategy.AUTO, pixels=3, population=100, generations=3)
    singles = edits_of(search.ask())
    cost = np.linspace(0.9, 0.1, len(singles))
    search.tell(cost)
    combined = decode(search.ask(), *SCENE.size)[0]
    best: list[tuple[int, ...]] = []
    for edit in reversed(singles):
        if edit[:2] not in [kept[:2] for kept in best]:
            best.append(edit)
    assert [tuple(edit) for edit in combined.tolist()] == best[:3]


@pytest.mark.parametrize("pixels", [1, 2])
@pytest.mark.parametrize("strategy", [Strategy.AUTO, Strategy.SPARSE_RS], ids=str)
@pytest.mark.parametrize(("population", "generations"), [(10, 4), (4, 1), (400, 1)])
def test_population_and_generations_bound_the_queries(
    strategy: Strategy, pixels: int, population: int, generations: int
) -> None:
    search = bound(strategy, pixels, population=population, generations=generations)
    sent: set[bytes] = set()  # an attack pays once for a candidate that is proposed again
    while not search.finished:
        sent |= {edits.tobytes() for edits in decode(search.ask(), *SCENE.size)}
        search.tell(np.linspace(0.5, 0.6, len(search.ask())))
    assert 0 < len(sent) <= population * (1 + generations)


def test_auto_scans_all_and_then_frees_the_colours() -> None:
    search = bound(Strategy.AUTO)
    scanned: set[tuple[int, ...]] = set()
    while len(scanned) < CANDIDATES:
        scanned |= set(edits_of(search.ask()))
        search.tell(np.full(len(search.ask()), 0.7))
    assert search.conclusion == ""
    free = 0
    while not search.finished:
        free += int((decode(search.ask(), *SCENE.size)[:, 0, 2:] % 255 != 0).any(axis=-1).sum())
        search.tell(np.full(len(search.ask()), 0.7))
    assert free > 100
    assert search.conclusion.startswith("no corner colour of any pixel of the region fools this image")


@pytest.mark.parametrize(
    ("strategy", "pixels", "labels_only", "able"),
    [
        (Strategy.CORNER_SCAN, (1, 3), False, "rand1bin, best1bin, random, sparse-rs, seeded, auto"),
        (Strategy.SKETCH, (2,), False, "rand1bin, best1bin, random, sparse-rs, seeded, auto"),
        (Strategy.RAND1BIN, (1,), True, "random, corner-scan"),
        (Strategy.AUTO, (1,), True, "random, corner-scan"),
        (Strategy.CORNER_SCAN, (2,), True, "random"),
    ],
)
def test_a_search_that_cannot_is_refused_and_those_that_can_are_named(
    strategy: Strategy, pixels: tuple[int, ...], labels_only: bool, able: str
) -> None:
    with pytest.raises(InvalidSpecError) as caught:
        check_search(SearchSettings(strategy=strategy), pixels, labels_only=labels_only)
    assert caught.value.field == "search.strategy"
    assert caught.value.description.startswith(strategy.value)
    assert caught.value.description.endswith(f"searches that can: {able}")


def test_a_search_that_can_is_accepted() -> None:
    check_search(SearchSettings(strategy=Strategy.CORNER_SCAN), (1,), labels_only=True)
    check_search(SearchSettings(strategy=Strategy.RAND1BIN), (1, 3, 5), labels_only=False)


def whole(height: int, width: int) -> RegionMap:
    return RegionMap(np.ones((height, width), dtype=np.bool_))
