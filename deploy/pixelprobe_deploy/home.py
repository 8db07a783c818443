"""Names in the state folder; see :func:`pixelprobe_services.common.files.state_folder`."""

from __future__ import annotations

import os
from pathlib import Path

ZOO = "zoo"
"""The folder of the models that were built on this machine, each beside its card."""


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
