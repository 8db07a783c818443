"""Failures of a call to a model server, as the orchestrator's own exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pixelprobe_services.kserve.errors import CallError, NoAnswerError, TimedOutError, TurnedAwayError
from pixelprobe_services.orchestrator.targets.base import (
    RejectedError,
    TargetError,
    TargetTimeoutError,
    TargetUnavailableError,
)


@contextmanager
def as_target_errors() -> Iterator[None]:
    """Translate a CallError raised within.

    Raises:
        TargetError, TargetUnavailableError, TargetTimeoutError, RejectedError: by the failure's kind.
    """
    try:
        yield
    except TurnedAwayError as error:
        raise RejectedError(error.message, retry_after_seconds=error.retry_after_seconds) from error
    except TimedOutError as error:
        raise TargetTimeoutError(error.message) from error
    except NoAnswerError as error:
        raise TargetUnavailableError(error.message) from error
    except CallError as error:
        raise TargetError(error.message) from error
