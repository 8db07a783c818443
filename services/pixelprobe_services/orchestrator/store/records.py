"""Immutable records that a store keeps and returns."""

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
    """Identifies an attack by its campaign and its number in the spec's order, from 0."""

    campaign_id: str
    number: int


@dataclass(frozen=True)
class CampaignSummary:
    """A campaign without its images, as lists and owner checks need it.

    Attributes:
        request_id: the id its owner gave the request that created it; empty if none.
        end_time: in UTC; None until the campaign has ended.
        owner: the client that created it; empty where clients have no names.
        head: its spec without images, as a serialised ``pixelprobe.attack.v1.CampaignSpec``.
    """

    id: str
    request_id: str
    state: CampaignState
    state_reason: str
    create_time: datetime
    end_time: datetime | None
    owner: str
    attacks_total: int
    head: bytes


@dataclass(frozen=True)
class CampaignRecord:
    """A campaign with its whole spec. See :class:`CampaignSummary` for the other attributes."""

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
    """How far a campaign is.

    Attributes:
        attacks_finished: cancelled attacks included.
        ledger: over all attacks; ``sent`` holds what is reserved as well as what is settled.
        attacks_cancelled: part of ``attacks_finished``. In a CANCELLED campaign every attack counts that
            is neither running nor ended otherwise.
    """

    attacks_total: int
    attacks_finished: int
    ledger: Ledger
    attacks_cancelled: int = 0


@dataclass(frozen=True, eq=False)
class AttackRecord:
    """An attack as stored; ``result``, ``mask`` and ``end_time`` (UTC) are set once it has finished."""

    id: AttackId
    image_index: int
    key: AttackKey
    state: AttackState
    result: AttackResult | None = None
    mask: MaskArray | None = None
    end_time: datetime | None = None


@dataclass(frozen=True)
class Event:
    """A lasting event: a new campaign state, or an attack that finished."""

    sequence: int
    campaign_state: CampaignState | None = None
    attack_number: int | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A point from which an attack can be continued.

    Attributes:
        state: the runner's own versioned data (search state, counts, best so far).
        scored: what was scored since the previous checkpoint; the store appends it to what it has.
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
    """A number of queries of one attack; ``is_retry`` where they were sent before."""

    attack: AttackId
    queries: int
    is_retry: bool = False


@dataclass(frozen=True)
class Swept:
    """What a sweep removed."""

    campaigns: int = 0
    images: int = 0
