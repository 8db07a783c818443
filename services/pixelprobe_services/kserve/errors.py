"""What a call to a model server can end in, besides an answer."""

from __future__ import annotations


class CallError(Exception):
    """Base of the failures below; ``message`` is one line that names the server and the model."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RefusedError(CallError):
    """The server refused, or did not answer in the protocol; repeating will not help."""


class UnknownModelError(RefusedError):
    """The server does not hold the model (gRPC NOT_FOUND, HTTP 404)."""


class NoAnswerError(CallError):
    """No answer came; repeating is safe. The model may or may not have run."""


class TimedOutError(NoAnswerError):
    """No answer within the deadline."""


class TurnedAwayError(NoAnswerError):
    """The server did not take the call: busy, over a rate limit, or not reachable. The model did not run.

    Attributes:
        retry_after_seconds: how long the server asks to wait; None where it does not say.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class BadAnswerError(ValueError):
    """The content of an answer contradicts itself or what was asked for; the message says how."""


def where(address: str, model: str) -> str:
    """How every message about a model begins."""
    return f"{address}: model '{model}'"


def short(details: str, limit: int = 200) -> str:
    """What a server said, on one line of bounded length and without control characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in details)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."
