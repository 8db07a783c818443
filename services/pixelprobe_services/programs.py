"""The console scripts ``pixelprobe-orchestrator`` and ``pixelprobe-segmentation``.

They do what ``python -m pixelprobe_services.NAME`` does. The client installs them too, so an install without
the ``server`` extra gets one line that names it.
"""

from __future__ import annotations

import importlib
import sys


def orchestrator() -> None:
    """Run the orchestrator."""
    _run("orchestrator", "main")


def segmentation() -> None:
    """Run the segmentation service."""
    _run("segmentation", "command")


def _run(service: str, command: str) -> None:
    try:
        settings = importlib.import_module("pixelprobe_services.server.settings")
        module = importlib.import_module(f"pixelprobe_services.{service}.__main__")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pixelprobe"):
            raise
        sys.exit(
            f"pixelprobe-{service}: the package {error.name} is missing: pip install 'pixelprobe[server]' "
            "(from a clone: pip install -e '.[server]')"
        )
    settings.run(getattr(module, command))
