"""The contract between :mod:`~pixelprobe_services.common.tracing` and whatever makes its spans."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from enum import Enum
from typing import Protocol

TRACEPARENT = "traceparent"
"""The header that carries a span from program to program, by W3C's Trace Context."""

Value = str | int | float | bool


class Kind(Enum):
    """Which side of a call a span is."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


class Span(Protocol):
    """Something that takes time. Safe to end from another thread."""

    @property
    def traceparent(self) -> str:
        """For those who do parts of it elsewhere; empty where nobody records it."""

    def set(self, name: str, value: Value) -> None:
        """Note an attribute."""

    def fail(self, reason: str) -> None:
        """It did not work out."""

    def end(self) -> None:
        """It is over."""


class Tracer(Protocol):
    """Whatever makes spans."""

    def start(
        self, name: str, kind: Kind, parent: str, links: Iterable[str], attributes: dict[str, Value]
    ) -> Span:
        """Begin a span, under ``parent`` (a traceparent) or else under the one in hand."""

    def within(self, span: Span | None) -> AbstractContextManager[None]:
        """Have ``span`` in hand, or none, for the time of a block."""

    def traceparent(self) -> str:
        """Of the span in hand; empty without one that is recorded."""

    def note(self, name: str, value: Value) -> None:
        """Note an attribute of the span in hand."""

    def close(self) -> None:
        """Send what is left; gives up after a few seconds."""
