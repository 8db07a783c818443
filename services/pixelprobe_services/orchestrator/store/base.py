"""The store's contract: campaigns, attacks, results, checkpoints, images, masks and the query ledger.

Every method is a coroutine, safe to call from many tasks at once, atomic, and raises
:class:`~pixelprobe_services.common.errors.NotFoundError` when the campaign or attack does not exist, and
:class:`~pixelprobe_services.orchestrator.store.errors.StoreError` when the store cannot do its work now (what
it holds stays as it was, and the call may be repeated). Changes of state are compare-and-set:
:class:`~pixelprobe_services.common.errors.ConflictError` tells that somebody was faster.
Values go in and come out as immutable records; nobody may alter an array after handing it over.

Several orchestrators may share what a store keeps. A running attack belongs to the store object that
claimed it until it is finished or given back, or until that object has been silent for so long that its
lease ends and others may claim the attack. An owner that lost an attack this way gets a
:class:`~pixelprobe_services.orchestrator.store.errors.LeaseLostError` at its next write, before another query
is sent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import AttackResult, CampaignState, Fate, Ledger, MaskArray, Pixels
from pixelprobe_services.orchestrator.store.limits import NO_LIMITS, UNLIMITED, DailyCount, Limits
from pixelprobe_services.orchestrator.store.records import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignRecord,
    Checkpoint,
    Event,
    QueryCount,
    StoredMask,
)

__all__ = [
    "AttackId",
    "AttackRecord",
    "CampaignProgress",
    "CampaignRecord",
    "Checkpoint",
    "Event",
    "QueryCount",
    "Store",
    "StoredMask",
]


class Store(DailyCount, ABC):
    """See the module's docstring for what holds for every method."""

    # Images, by content.

    @abstractmethod
    async def put_image(self, digest: str, image: Pixels) -> None:
        """Keep an image. Putting one twice is harmless."""

    @abstractmethod
    async def get_image(self, digest: str) -> Pixels:
        """The image of that digest."""

    @abstractmethod
    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        """(height, width) of those of ``digests`` that were put."""

    # Masks, by campaign and image, so that all attacks of a campaign see the same one.

    @abstractmethod
    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        """Keep the mask unless there is one already. Returns the one kept."""

    @abstractmethod
    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        """The mask kept for that image, or None."""

    # Campaigns.

    @abstractmethod
    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        """Store a campaign and all its attacks as pending.

        Returns:
            The record, and whether it is new: a known ``request_id`` (not empty) returns the first one's.

        Raises:
            QuotaExceededError: it would be new, and ``owner`` has reached one of ``limits``.
        """

    @abstractmethod
    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        """One campaign."""

    @abstractmethod
    async def list_campaigns(self, limit: int, after: str = "") -> list[CampaignRecord]:
        """At most ``limit`` campaigns, newest first, those after the campaign with the id ``after``."""

    @abstractmethod
    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        """Ids of all campaigns in one of ``states``, oldest first."""

    @abstractmethod
    async def count_campaigns(self) -> dict[CampaignState, int]:
        """How many campaigns are in each state; states without any may be left out."""

    @abstractmethod
    async def change_campaign_state(
        self,
        campaign_id: str,
        new: CampaignState,
        *,
        expected: Collection[CampaignState],
        reason: str = "",
        limits: Limits = NO_LIMITS,
    ) -> CampaignRecord:
        """Compare-and-set of the state, along ``LEGAL_TRANSITIONS``; appends an event.

        Going back to RUNNING makes attacks that finished as CANCELLED pending again.

        Raises:
            ConflictError: the campaign is in none of ``expected``.
            IllegalTransitionError: a campaign in its state cannot become ``new``.
            QuotaExceededError: its owner has reached one of ``limits`` by other campaigns, or for today.
        """

    @abstractmethod
    async def finish_campaign(self, campaign_id: str) -> bool:
        """Make a running or waiting campaign SUCCEEDED if all its attacks are finished, whoever ran them.

        Returns:
            False if some are not.

        Raises:
            ConflictError: the campaign is neither RUNNING nor WAITING.
        """

    @abstractmethod
    async def cancel_attacks(self, campaign_id: str) -> int:
        """Finish every unfinished attack, running ones included, as CANCELLED; each appends an event.

        Checkpoints stay: the campaign may be resumed.

        Returns:
            How many there were.
        """

    @abstractmethod
    async def progress(self, campaign_id: str) -> CampaignProgress:
        """Counts over the campaign's attacks."""

    # Attacks.

    @abstractmethod
    async def get_attack(self, attack: AttackId) -> AttackRecord:
        """One attack."""

    @abstractmethod
    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        """At most ``limit`` attacks with numbers from ``start``, in order."""

    @abstractmethod
    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        """Take the first attack that is pending, or whose runner's lease has ended, and make it running.

        None when there is none, and when the campaign is paused or has ended.
        """

    @abstractmethod
    async def release_attack(self, attack: AttackId) -> None:
        """Make a running attack pending again: somebody else will take it up from its checkpoint.

        Even where this raises, the attack no longer belongs to this store object.

        Raises:
            LeaseLostError: it did not before.
        """

    @abstractmethod
    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        """Store the result of a running attack; appends an event and drops its checkpoint.

        A CANCELLED attack keeps its checkpoint: its campaign may be resumed.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
        """

    @abstractmethod
    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        """Replace the state and append what was scored since.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
        """

    @abstractmethod
    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        """The last state with all that was scored so far, or None."""

    @abstractmethod
    async def drop_checkpoint(self, attack: AttackId) -> None:
        """Forget it: the attack starts over.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
        """

    # The query ledger: reserved before sending, settled after. A reservation counts until it is settled.

    @abstractmethod
    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        """These queries are about to be sent. ``most_a_day``: limits by owner.

        Raises:
            LeaseLostError: some of the attacks are not running, or run elsewhere. Nothing was reserved.
            DayUsedUpError: an owner has reached its limit already. Nothing was reserved.
        """

    @abstractmethod
    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        """Record what became of queries that were reserved earlier.

        Until then, and for ever if the process dies before, they count as sent.
        """

    @abstractmethod
    async def ledger(self, attack: AttackId) -> Ledger:
        """The queries of one attack so far. ``sent`` holds what is reserved and not known to be rejected.

        ``skipped`` and ``repeated`` are 0 until the attack has finished.
        """

    # Events.

    @abstractmethod
    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        """At most ``limit`` events with a sequence over ``sequence``, in order. The first is number 1."""

    # The store itself.

    @abstractmethod
    async def check(self) -> None:
        """Return if the store can write now, and raise StoreError if it cannot."""

    @abstractmethod
    async def close(self) -> None:
        """Give back what the store holds. Idempotent."""
