"""A campaign as the store in memory keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixelprobe_services.common.values import CampaignState, Ledger
from pixelprobe_services.orchestrator.store.base import AttackRecord, CampaignRecord, Event, StoredMask


@dataclass
class KeptCampaign:
    """All of it but checkpoints and images; changed in place."""

    record: CampaignRecord
    attacks: list[AttackRecord]
    pending: list[int]
    """Numbers of pending attacks, ascending."""
    events: list[Event] = field(default_factory=list)
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    """What each attack has sent, and what became of it; without skipped and repeated candidates."""
    finished: int = 0
    masks: dict[str, StoredMask] = field(default_factory=dict)
    free: Ledger = field(default_factory=Ledger)
    """Skipped and repeated candidates of the finished attacks."""

    def append_event(self, state: CampaignState | None, attack: int | None) -> None:
        """Number an event and keep it."""
        self.events.append(Event(len(self.events) + 1, state, attack))
