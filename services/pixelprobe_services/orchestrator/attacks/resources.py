"""Shortages of this machine (descriptors, memory, disk errors), as opposed to damaged data and bugs."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from pixelprobe_services.common.errors import UnavailableError

SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EIO, errno.ENOSPC}
)


class OutOfResourcesError(UnavailableError):
    """Something is lacking on this machine just now; the same work may succeed later."""

    reason = "OUT_OF_RESOURCES"


def shortage_under(error: BaseException | None) -> str:
    """Return what the machine lacks if that is ``error``, or its cause however deep; empty otherwise."""
    while error is not None:
        if isinstance(error, MemoryError):
            return "out of memory"
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            return (error.strerror or str(error)).lower()
        error = error.__cause__ or error.__context__
    return ""


@contextlib.contextmanager
def resources_named() -> Iterator[None]:
    """Raise OutOfResourcesError for a shortage that nothing within the block named.

    Raises:
        OutOfResourcesError: an OSError or MemoryError showed a shortage.
    """
    try:
        yield
    except (OSError, MemoryError, ImportError) as error:
        lacking = shortage_under(error)
        if not lacking:
            raise
        raise OutOfResourcesError(f"this machine: {lacking}") from error
