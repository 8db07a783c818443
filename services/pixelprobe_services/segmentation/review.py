"""Whether a mask can be trusted without a person having looked at it (method.md, Segmentation)."""

from __future__ import annotations

MIN_AREA = 0.02
"""Below this share of the image the object was probably missed. (ours)"""

MAX_AREA = 0.90
"""Above it the background was probably missed. (ours)"""


def review_reason(area_fraction: float) -> str:
    """Why a mask with this foreground share (0 to 1) should be looked at; empty when it need not be."""
    if area_fraction == 0.0:
        return "no foreground was found"
    if area_fraction == 1.0:
        return "no background was found"
    if area_fraction < MIN_AREA:
        return f"the foreground is only {area_fraction:.2%} of the image (below {MIN_AREA:.0%})"
    if area_fraction > MAX_AREA:
        return f"the foreground is {area_fraction:.2%} of the image (above {MAX_AREA:.0%})"
    return ""
