"""Errors of the local stack; every message is one line that says what to do."""

from __future__ import annotations


class LocalStackError(Exception):
    """Base of all expected failures."""


class PortTakenError(LocalStackError):
    """Another program listens on a port that the stack needs."""


class StartError(LocalStackError):
    """A part ended, or did not become healthy in time."""


class StateError(LocalStackError):
    """The state folder cannot be used."""


class Interrupted(LocalStackError):  # noqa: N818  (a request, not an error)
    """A signal asked this program to stop."""

    def __init__(self, signum: int) -> None:
        super().__init__("interrupted")
        self.exit_code = 128 + signum
