"""The file of a scan: for each image and target a mask, and the effect of each pixel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Maps:
    """Rows in the order in which they were added, kept in an .npz file that is replaced atomically.

    Attributes:
        images, targets: names.
        masks: (height, width) bool, foreground.
        clean: the clean class's probability.
        fooling: (height, width) uint8, or None where the image was not scanned.
        lowest: (height, width) float32, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: list[str] = []
        self.targets: list[str] = []
        self.masks: list[NDArray[np.bool_]] = []
        self.clean: list[float] = []
        self.fooling: list[NDArray[np.uint8] | None] = []
        self.lowest: list[NDArray[np.float32] | None] = []
        if path.exists():
            self._load()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def scanned(self) -> int:
        """Rows with a scan."""
        return sum(fooling is not None for fooling in self.fooling)

    def has(self, image: str, target: str) -> bool:
        """Whether there is such a row."""
        return (image, target) in zip(self.images, self.targets, strict=True)

    def add(
        self,
        image: str,
        target: str,
        mask: NDArray[np.bool_],
        clean: float,
        fooling: NDArray[np.uint8] | None,
        lowest: NDArray[np.float32] | None,
    ) -> None:
        """One more row; ``save`` keeps it."""
        self.images.append(image)
        self.targets.append(target)
        self.masks.append(mask)
        self.clean.append(clean)
        self.fooling.append(fooling)
        self.lowest.append(lowest)

    def save(self) -> None:
        """Replace the file."""
        if not self.images:
            return
        nothing = np.zeros(self.masks[0].shape)
        partial = self.path.with_suffix(".part.npz")
        np.savez_compressed(
            partial,
            images=self.images,
            targets=self.targets,
            masks=np.stack(self.masks),
            clean=np.array(self.clean),
            scanned=np.array([fooling is not None for fooling in self.fooling]),
            fooling=_stacked(self.fooling, nothing.astype(np.uint8)),
            lowest=_stacked(self.lowest, nothing.astype(np.float32)),
        )
        partial.replace(self.path)

    def _load(self) -> None:
        with np.load(self.path) as saved:
            scanned = saved["scanned"]
            self.images, self.targets = saved["images"].tolist(), saved["targets"].tolist()
            self.masks, self.clean = list(saved["masks"]), saved["clean"].tolist()
            self.fooling = [
                row if there else None for row, there in zip(saved["fooling"], scanned, strict=True)
            ]
            self.lowest = [
                row if there else None for row, there in zip(saved["lowest"], scanned, strict=True)
            ]


def _stacked(rows: list[Any], nothing: NDArray[Any]) -> NDArray[Any]:
    return np.stack([nothing if row is None else row for row in rows])
