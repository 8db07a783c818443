"""Which version of pixelprobe this is."""

from __future__ import annotations

import importlib.metadata


def own_version() -> str:
    """Of the installed distribution; empty where the program runs without having been installed."""
    try:
        return importlib.metadata.version("pixelprobe")
    except importlib.metadata.PackageNotFoundError:
        return ""
