"""What an input adapter adds to a query: microseconds of one core, at 32x32 and 400 one-pixel queries."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pixelprobe_services.orchestrator.core.perturbation import apply_edits
from pixelprobe_services.orchestrator.targets.adapter import PRESETS, InputAdapter, Preprocessing

SIDE, QUERIES, ROUNDS = 32, 400, 50
WANTED_MICROSECONDS = 3.0
_KEYS = {"layout", "dtype", "channels", "scale", "mean", "std"}


@dataclass(frozen=True)
class Adapters:
    """``microseconds`` a query by preset; ``plain`` without an adapter, edits alone."""

    plain: float
    microseconds: dict[str, float]

    def __str__(self) -> str:
        each = ", ".join(f"{name} {value:.2f}" for name, value in self.microseconds.items())
        return (
            f"adapters at {SIDE}x{SIDE}: {each} us a query (edits alone {self.plain:.2f};"
            f" wanted: under {WANTED_MICROSECONDS:g})"
        )


def measure() -> Adapters:
    """The best of ROUNDS rounds each."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    index = np.zeros(QUERIES, np.int32)
    spots = random.integers(0, SIDE, (QUERIES, 1, 2))
    edits = np.concatenate([spots, random.integers(0, 256, (QUERIES, 1, 3))], 2).astype(np.int16)

    def best(adapter: InputAdapter | None) -> float:
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            (adapter.tensor if adapter else apply_edits)(images, index, edits)
            seconds.append(time.perf_counter() - began)
        return min(seconds) / QUERIES * 1e6

    found = {}
    for name, preset in PRESETS.items():
        steps = Preprocessing(**{key: value for key, value in preset.items() if key in _KEYS})
        found[name] = best(InputAdapter(steps, SIDE, SIDE))
    return Adapters(best(None), found)


if __name__ == "__main__":
    print(measure())
