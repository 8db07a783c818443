"""The client that makes the current RPC, and what it may do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from pixelprobe_services.common.errors import PermissionDeniedError

READ, ATTACK, ADMIN = "read", "attack", "admin"
SCOPES = (READ, ATTACK, ADMIN)


@dataclass(frozen=True)
class Caller:
    """A client of the tokens file; the nameless one is every client where there is no such file.

    Attributes:
        scopes: of SCOPES; none implies another.
        max_running_campaigns: that are neither finished nor cancelled; None for any number.
        max_queries_per_day: over all campaigns, a day of UTC; None for any number.
        max_attacks: over all campaigns that are neither finished nor cancelled; None for any number.
        max_stored_bytes: specs, images and results of all campaigns; None for any number.
    """

    name: str = ""
    scopes: frozenset[str] = field(default=frozenset(SCOPES))
    max_running_campaigns: int | None = None
    max_queries_per_day: int | None = None
    max_attacks: int | None = None
    max_stored_bytes: int | None = None


ANONYMOUS = Caller()

caller: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)
"""Caller of the current RPC."""


def check_owner(owner: str, what: str) -> None:
    """Check that the caller may change what ``owner`` made: it is the owner, or has the scope admin.

    Raises:
        PermissionDeniedError: it is neither.
    """
    who = caller.get()
    if who.name != owner and ADMIN not in who.scopes:
        raise PermissionDeniedError(
            f"{what} belongs to {f'client {owner!r}' if owner else 'no client'}; client {who.name!r} may only"
            f" change its own, as it lacks the scope {ADMIN!r}",
            reason="NOT_THE_OWNER",
        )
