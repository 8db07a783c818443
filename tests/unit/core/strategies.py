"""What hypothesis draws for the core's tests: small images, masks and edits that collide often."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pixelprobe_services.common.values import MaskArray, Pixels

SIDES = st.integers(1, 5)
SHADES = st.sampled_from([0, 1, 255])
"""Few colours, so that edits equal the clean colour, or one another, quite often."""


@st.composite
def images(draw: st.DrawFn) -> Pixels:
    return draw(hnp.arrays(np.uint8, (draw(SIDES), draw(SIDES), 3), elements=SHADES))


def masks_of(image: Pixels) -> st.SearchStrategy[MaskArray]:
    return hnp.arrays(np.bool_, image.shape[:2])


@st.composite
def edits_of(draw: st.DrawFn, image: Pixels, pixels: int | None = None) -> NDArray[np.int16]:
    """(n, k, 5) int16 within the image."""
    height, width, _ = image.shape
    shape = (draw(st.integers(0, 6)), pixels or draw(st.integers(1, 5)))
    columns = [
        draw(hnp.arrays(np.int16, shape, elements=elements))
        for elements in (st.integers(0, width - 1), st.integers(0, height - 1), SHADES, SHADES, SHADES)
    ]
    return np.stack(columns, axis=-1)
