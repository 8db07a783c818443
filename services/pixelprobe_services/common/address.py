"""Addresses of the form HOST:PORT."""

from __future__ import annotations

import re

_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):(?P<port>[0-9]{1,5})", re.ASCII)


def split_address(text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``; an IPv6 host stands in brackets, and keeps them.

    Args:
        text: the address.
        lowest_port: 0 for an address to listen on, where it lets the system choose.

    Raises:
        ValueError: it is something else.
    """
    match = _ADDRESS.fullmatch(text)
    if not match or not lowest_port <= int(match["port"]) <= 65535:
        raise ValueError(f"{text[:100]!r} is not HOST:PORT")
    return match["host"], int(match["port"])
