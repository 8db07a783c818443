"""Errors that a store raises beside NotFoundError, ConflictError and IllegalTransitionError."""

from __future__ import annotations

from collections.abc import Iterable

from pixelprobe_services.common.errors import (
    ConflictError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from pixelprobe_services.orchestrator.store.records import AttackId


class StoreError(ServiceError):
    """The store cannot do its work now. What it holds is intact; the same call may succeed later."""


class StoreUnavailableError(StoreError, UnavailableError):
    """The store was out of reach, locked by another program or out of resources for too long."""

    reason = "STORE_UNAVAILABLE"


class StoreFullError(StoreError, ResourceExhaustedError):
    """The disk of the store is full."""

    reason = "STORE_FULL"


class LeaseLostError(ConflictError):
    """A store object does not hold ``attacks``: they finished, were released, or run elsewhere."""

    reason = "LEASE_LOST"

    def __init__(self, attacks: Iterable[AttackId]) -> None:
        self.attacks = frozenset(attacks)
        names = ", ".join(sorted(f"{attack.campaign_id}/{attack.number}" for attack in self.attacks))
        super().__init__(f"not running under this orchestrator: attack {names}")


class CancelUnderWayError(ConflictError):
    """The campaign was cancelled and some of its attacks still run: repeat the call once they have ended."""

    reason = "CANCEL_UNDER_WAY"

    def __init__(self, campaign_id: str) -> None:
        super().__init__(f"campaign {campaign_id} is still being cancelled; try again in a moment")


class StoreSetupError(Exception):
    """The store cannot be opened as it is configured: one line that says what to do."""
