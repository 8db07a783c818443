"""The state folder of the local stack and the model zoo. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path

HOME_VARIABLE = "PIXELPROBE_HOME"
ZOO = "zoo"
"""The folder in the home that holds the models built on this machine, each beside its card."""


def home_folder(given: Path | None = None) -> Path:
    """Return ``given``, else PIXELPROBE_HOME, else ~/.pixelprobe."""
    found = given or os.environ.get(HOME_VARIABLE) or Path.home() / ".pixelprobe"
    return Path(found).expanduser().absolute()


def make_private(folder: Path, mark: str) -> None:
    """Make ``folder`` if it is missing, for its owner alone: databases and logs are in it.

    One that is there is closed to others only if it holds the file ``mark``: earlier versions left theirs
    open. Any other folder keeps its mode.

    Raises:
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if (folder / mark).exists() and folder.stat().st_uid == os.geteuid():
            folder.chmod(0o700)
