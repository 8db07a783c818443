"""Log formats: text for people, or JSON for machines, one object a line."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pixelprobe_services.common import tracing
from pixelprobe_services.common.text import terminal_text
from pixelprobe_services.server.interceptors import request_id

_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"

_campaign: ContextVar[str] = ContextVar("campaign", default="")
_attack: ContextVar[int | None] = ContextVar("attack", default=None)


@contextlib.contextmanager
def about(campaign: str, attack: int | None = None) -> Iterator[None]:
    """Add the campaign and the attack's number to lines logged inside, and by tasks started inside."""
    campaign_before, attack_before = _campaign.set(campaign), _attack.set(attack)
    try:
        yield
    finally:
        _attack.reset(attack_before)
        _campaign.reset(campaign_before)


class JsonFormatter(logging.Formatter):
    """Formats lines with the keys time (RFC 3339, UTC), level, logger, message and request_id ("-": none).

    Where there is one, also campaign (its id), attack (its number), trace_id, exception (with its traceback).
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII characters."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            "campaign": _campaign.get() or None,
            "attack": _attack.get(),
            "trace_id": tracing.trace_id() or None,
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
            "stack": self.formatStack(record.stack_info) if record.stack_info else None,
        }
        return json.dumps({key: value for key, value in fields.items() if value is not None})


class TextFormatter(logging.Formatter):
    """One line a record, and a traceback below it; control characters of others' text become escapes."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's own name
        """Format the line itself."""
        return terminal_text(super().formatMessage(record))

    def formatException(self, *args: Any) -> str:  # noqa: N802, logging's own name
        """Format a traceback, whose last line may quote others' text."""
        return terminal_text(super().formatException(*args), keep_lines=True)


FORMATTERS: dict[str, Callable[[], logging.Formatter]] = {"text": TextFormatter, "json": JsonFormatter}
"""Formatters by the value of PIXELPROBE_LOG_FORMAT."""


def stamp(record: logging.LogRecord) -> bool:
    """Filter that passes everything and adds the current request's id, for the text format."""
    record.request_id = request_id.get()
    return True
