"""The version of pixelprobe."""

from __future__ import annotations

import importlib.metadata


def own_version() -> str:
    """Return the version of the installed distribution; empty where it is not installed."""
    try:
        return importlib.metadata.version("pixelprobe")
    except importlib.metadata.PackageNotFoundError:
        return ""
