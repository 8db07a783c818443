"""The state folder of the local stack and the model zoo. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "PIXELPROBE_HOME"
ZOO = "zoo"
"""The folder in the home that holds the models built on this machine, each beside its card."""


def home_folder(given: Path | None = None) -> Path:
    """``given`` else PIXELPROBE_HOME else ~/.pixelprobe."""
    found = given or os.environ.get(HOME_VARIABLE) or Path.home() / ".pixelprobe"
    return Path(found).expanduser().absolute()
