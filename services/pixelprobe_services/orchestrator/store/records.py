"""What a store keeps and hands out: immutable records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import (
    AttackKey,
    AttackResult,
    AttackState,
    CampaignState,
    Ledger,
    MaskArray,
)


@dataclass(frozen=True)
class AttackId:
    """An attack's name: its campaign and its number in the spec's order."""

    campaign_id: str
    number: int


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign as stored; ``owner`` is the client that created it, "" where clients have no names."""

    id: str
    spec: CampaignSpec
    request_id: str
    state: CampaignState
    state_reason: str
    create_time: datetime
    end_time: datetime | None
    owner: str = ""


@dataclass(frozen=True)
class CampaignProgress:
    """How far a campaign is. ``ledger.sent`` holds what is reserved as well as what is settled."""

    attacks_total: int
    attacks_finished: int
    ledger: Ledger


@dataclass(frozen=True, eq=False)
class AttackRecord:
    """An attack as stored; ``result``, ``mask`` and ``end_time`` are there once it is finished."""

    id: AttackId
    image_index: int
    key: AttackKey
    state: AttackState
    result: AttackResult | None = None
    mask: MaskArray | None = None
    end_time: datetime | None = None


@dataclass(frozen=True)
class Event:
    """Something lasting that happened: a new campaign state, or an attack that finished."""

    sequence: int
    campaign_state: CampaignState | None = None
    attack_number: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """Where an attack can go on from, at the end of a generation.

    Attributes:
        state: the runner's own versioned data (search state, counts, best so far).
        scored: what was scored since the checkpoint before, to be appended to what the store has.
    """

    state: bytes
    scored: tuple[bytes, ...] = ()


@dataclass(frozen=True, eq=False)
class StoredMask:
    """The mask that a campaign uses for an image; ``review_reason`` as the segmentation service gave it."""

    mask: MaskArray
    review_reason: str = ""


@dataclass(frozen=True)
class QueryCount:
    """So many queries of one attack; ``is_retry`` where they were sent before."""

    attack: AttackId
    queries: int
    is_retry: bool = False
