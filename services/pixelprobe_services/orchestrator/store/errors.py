"""What a store raises beside NotFoundError and ConflictError of the house."""

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
    """The store cannot do its work now. What it has is safe; the same call may succeed later."""


class StoreUnavailableError(StoreError, UnavailableError):
    """Out of reach, or locked by another program, for longer than the store waits."""

    reason = "STORE_UNAVAILABLE"


class StoreFullError(StoreError, ResourceExhaustedError):
    """No room on its disk."""

    reason = "STORE_FULL"


class LeaseLostError(ConflictError):
    """``attacks`` are not this store object's to run: finished, given back, or taken by somebody else."""

    reason = "LEASE_LOST"

    def __init__(self, attacks: Iterable[AttackId]) -> None:
        self.attacks = frozenset(attacks)
        names = ", ".join(sorted(f"{attack.campaign_id}/{attack.number}" for attack in self.attacks))
        super().__init__(f"not running under this orchestrator: attack {names}")


class StoreSetupError(Exception):
    """The store cannot be opened as it is set up: one line that says what to do."""
