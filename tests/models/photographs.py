"""The demo's photographs as arrays: real images that ship, for tests at ImageNet's sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOLDER = Path(__file__).parents[2] / "client" / "pixelprobe" / "samples" / "photographs"


def photographs(side: int) -> NDArray[np.uint8]:
    """(n, side, side, 3), by name."""
    return np.stack(
        [
            np.asarray(Image.open(path).resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)
            for path in sorted(FOLDER.glob("*.jpg"))
        ]
    )
