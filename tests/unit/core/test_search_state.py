from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pixelprobe_services.common.values import SearchSettings
from pixelprobe_services.orchestrator.core.search import (
    SearchState,
    StateDecodeError,
    StateError,
    StateVersionError,
    create_search,
    restore_search,
)
from pixelprobe_services.orchestrator.core.search.state import STATE_VERSION

SETTINGS = SearchSettings(population=4, generations=3)

plain_data = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**130) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.text(max_size=5),
    st.dictionaries(
        st.sampled_from(["population", "cost", "asked"]),
        hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=3)),
    ),
    st.dictionaries(st.text(max_size=3), plain_data, max_size=3),
)
@settings(deadline=None)
def test_bytes_keep_everything(name: str, arrays: dict[str, Any], data: dict[str, Any]) -> None:
    state = SearchState(name, arrays, data)
    read = SearchState.from_bytes(state.to_bytes())
    assert (read.name, read.data, read.version) == (name, data, STATE_VERSION)
    assert set(read.arrays) == set(arrays)
    for key, array in arrays.items():
        assert read.arrays[key].tobytes() == array.tobytes()
        assert read.arrays[key].shape == array.shape
    assert read.to_bytes() == state.to_bytes()


def told_state() -> SearchState:
    search = create_search(SETTINGS, 1, seed=3)
    search.ask()
    search.tell(np.arange(4.0))
    search.ask()
    return search.state()


@given(st.integers(0, 10**9), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_damaged_byte_is_found_or_does_not_matter(position: int, flip: int) -> None:
    good = told_state().to_bytes()
    damaged = bytearray(good)
    damaged[position % len(good)] ^= flip
    try:
        read = SearchState.from_bytes(bytes(damaged))
    except StateDecodeError:
        return
    # Archives hold dates and attributes that nothing reads.
    assert read.to_bytes() == good


@given(st.integers(0, 10**9))
@settings(deadline=None)
def test_a_cut_state_is_damaged(length: int) -> None:
    good = told_state().to_bytes()
    with pytest.raises(StateDecodeError):
        SearchState.from_bytes(good[: length % len(good)])


def archive(**members: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def header(content: object) -> bytes:
    return archive(header=np.frombuffer(json.dumps(content).encode(), dtype=np.uint8))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive",
        b"\x93NUMPY",
        archive(cost=np.zeros(3)),
        archive(header=np.frombuffer(b"{", dtype=np.uint8)),
        archive(header=np.frombuffer(b"\xff", dtype=np.uint8)),
        header([]),
        header({}),
        header({"version": STATE_VERSION}),
        header({"version": STATE_VERSION, "name": "rand1bin", "data": {}, "arrays": ["cost"]}),
        header({"version": STATE_VERSION, "name": "rand1bin", "data": 3, "arrays": []}),
    ],
)
def test_what_is_no_state_is_told_as_such(data: bytes) -> None:
    with pytest.raises(StateDecodeError):
        SearchState.from_bytes(data)


def test_objects_are_never_unpickled() -> None:
    good = header({"version": STATE_VERSION, "name": "rand1bin", "data": {}, "arrays": []})
    assert SearchState.from_bytes(good).arrays == {}
    with pytest.raises(StateDecodeError):
        SearchState.from_bytes(archive(header=np.array([{"version": STATE_VERSION}], dtype=object)))


@pytest.mark.parametrize("version", [0, STATE_VERSION + 1, "1", None])
def test_another_version_is_told_from_damage(version: object) -> None:
    with pytest.raises(StateVersionError) as caught:
        SearchState.from_bytes(header({"version": version, "from": "the future"}))
    assert not isinstance(caught.value, StateDecodeError)
    assert isinstance(caught.value, StateError)


def test_an_unknown_search_is_told_from_damage() -> None:
    state = told_state()
    with pytest.raises(StateVersionError, match="annealing"):
        restore_search(SearchState("annealing", state.arrays, state.data))


def test_a_state_without_a_best_candidate_takes_it_from_the_population() -> None:
    """As differential evolution was saved before searches kept their best candidate."""
    state = told_state()
    older = {name: array for name, array in state.arrays.items() if not name.startswith("best")}
    restored = restore_search(SearchState(state.name, older, state.data))
    assert restored.best_cost == 0.0
    np.testing.assert_array_equal(restored.best_candidate, state.arrays["population"][0])


GENES = np.full((4, 1, 5), 0.5)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"population": None}, "no float64 array 'population'"),
        ({"population": GENES[:3]}, "no float64 array 'population'"),
        ({"population": GENES.astype(np.float32)}, "no float64 array 'population'"),
        ({"population": GENES * np.nan}, "NaN"),
        ({"population": GENES * 3}, r"leaves \[0, 1\]"),
        ({"population": -GENES}, r"leaves \[0, 1\]"),
        ({"cost": np.zeros(3)}, "no float64 array 'cost'"),
        ({"cost": np.full(4, np.nan)}, "NaN"),
        ({"asked": GENES[:, :, :4]}, "no float64 array 'asked'"),
        ({"asked": GENES + np.inf}, r"leaves \[0, 1\]"),
    ],
)
def test_arrays_that_do_not_fit_are_damage(arrays: dict[str, Any], said: str) -> None:
    state = told_state()
    changed = {key: value for key, value in {**state.arrays, **arrays}.items() if value is not None}
    with pytest.raises(StateDecodeError, match=said):
        restore_search(SearchState(state.name, changed, state.data))


@pytest.mark.parametrize(
    "change",
    [
        {"settings": None},
        {"settings": {}},
        {"settings": {"strategy": "rand1bin", "region_mode": "composite", "population": 3}},
        {"settings": {"strategy": "rand1bin", "region_mode": "nowhere"}},
        {"settings": {"strategy": "rand1bin", "region_mode": "composite", "colour": 3}},
        {"pixels": 0},
        {"pixels": "many"},
        {"generation": -2},
        {"generation": SETTINGS.generations + 1},
        {"generation": None},
        {"random": {}},
        {"random": {"bit_generator": "MT19937"}},
        {"random": None},
    ],
    ids=str,
)
def test_data_that_does_not_hold_together_is_damage(change: dict[str, Any]) -> None:
    state = told_state()
    with pytest.raises(StateDecodeError):
        restore_search(SearchState(state.name, state.arrays, {**state.data, **change}))
    left = {key: value for key, value in state.data.items() if key not in change}
    with pytest.raises(StateDecodeError):
        restore_search(SearchState(state.name, state.arrays, left))


def test_settings_that_came_later_take_their_default() -> None:
    state = told_state()
    older = {key: value for key, value in state.data["settings"].items() if key != "stop_check_queries"}
    restored = restore_search(SearchState(state.name, state.arrays, {**state.data, "settings": older}))
    assert restored.settings == SETTINGS
