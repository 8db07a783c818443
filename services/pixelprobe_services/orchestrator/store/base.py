"""The contract of a store: campaigns, attacks, results, checkpoints, images, masks and the query ledger."""

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
    CampaignSummary,
    Checkpoint,
    Event,
    QueryCount,
    StoredMask,
    Swept,
)

__all__ = [
    "AttackId",
    "AttackRecord",
    "CampaignProgress",
    "CampaignRecord",
    "CampaignSummary",
    "Checkpoint",
    "Event",
    "QueryCount",
    "Store",
    "StoredMask",
    "Swept",
]

UNUSED_SECONDS = 86_400.0
"""An image that no campaign uses is kept this long after its last upload: its campaign may yet be created."""


class Store(DailyCount, ABC):
    """Keeps everything that outlives an attack.

    Example::

        store = await open_store(locate("sqlite:///pixelprobe.db", None))
        campaign, is_new = await store.create_campaign(spec, request_id="nightly", owner="ci")
        attack = await store.claim_attack(campaign.id)

    Thread safety
        All methods are coroutines of one event loop and may be called by many tasks at once.

    Ownership
        Records are immutable. An array that is passed in or returned must not be changed afterwards.
        Several store objects, of several orchestrators, may share one database. An attack that runs belongs
        to the store object that claimed it (its lease) until it is finished or released, or until that
        object has not renewed its lease for so long that others may claim the attack. The previous holder
        then gets a LeaseLostError at its next write, before another query is sent.

    Consistency
        Each method is atomic: it takes effect as a whole or not at all. Changes of state are compare-and-set:
        what a change depends on is checked in the transaction that makes it. Work whose size a client chooses
        (cancelling, resuming, deleting) is done in transactions of bounded size, each of which checks the
        state again, so that no campaign makes the others wait.

        An attack that no orchestrator has claimed takes no space. In a CANCELLED campaign, attacks that
        neither run nor have finished count, and are returned, as finished with Outcome.CANCELLED.

    Errors
        Every method raises StoreError when the store cannot do its work now (out of reach, locked, full, out
        of memory or descriptors). Nothing was changed then, and the call may be repeated. Methods that take a
        campaign or an attack raise NotFoundError where there is none.
    """

    # Images, by content.

    @abstractmethod
    async def put_image(self, digest: str, image: Pixels) -> None:
        """Store an image, (height, width, 3) uint8, under its digest. Repeating it is harmless.

        Raises:
            StoreError: see the class.
        """

    @abstractmethod
    async def get_image(self, digest: str) -> Pixels:
        """Return the image of that digest, (height, width, 3) uint8.

        Raises:
            NotFoundError: it was never stored, or was removed as unused.
            StoreError: see the class.
        """

    @abstractmethod
    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return (height, width) in pixels of those of ``digests`` that are stored.

        Raises:
            StoreError: see the class.
        """

    # Masks, by campaign and image, so that all attacks of a campaign see the same one.

    @abstractmethod
    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        """Store the mask unless there is one already. Returns the one that is stored.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        """Return the mask stored for that image, or None.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    # Campaigns.

    @abstractmethod
    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        """Store a campaign, all its attacks pending.

        A ``request_id`` is the owner's own: the same text of another owner has nothing to do with it. It
        names one campaign for as long as that exists, in whatever state; a cancelled one is returned as it
        is, and may be resumed. Deleting the campaign frees the id.

        Returns:
            The record, and whether it is new: a ``request_id`` (not empty) that ``owner`` used before returns
            the campaign it created.

        Raises:
            InvalidArgumentError: ``request_id`` holds a NUL character.
            QuotaExceededError: it would be new, and ``owner`` has reached one of ``limits``.
            StoreError: see the class.
        """

    @abstractmethod
    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        """Return a campaign with its whole spec, which may be large. Where possible use get_summary.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def get_summary(self, campaign_id: str) -> CampaignSummary:
        """Return a campaign without its images.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def list_campaigns(
        self, limit: int, after: str = "", *, owner: str | None = None
    ) -> list[CampaignSummary]:
        """Return at most ``limit`` campaigns, newest first, from the one after the id ``after``.

        With an ``owner``, only its campaigns; None is all.

        Raises:
            NotFoundError: no campaign has the id ``after``.
            StoreError: see the class.
        """

    @abstractmethod
    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        """Return the ids of all campaigns in one of ``states``, oldest first.

        Raises:
            StoreError: see the class.
        """

    @abstractmethod
    async def count_campaigns(self) -> dict[CampaignState, int]:
        """Return how many campaigns are in each state; states without any may be left out.

        Raises:
            StoreError: see the class.
        """

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
        """Set the state, along ``LEGAL_TRANSITIONS``, if it is one of ``expected``; appends an event.

        From CANCELLED to RUNNING, attacks that finished as CANCELLED become pending again.

        Raises:
            ConflictError: the campaign is in none of ``expected``.
            CancelUnderWayError: ``new`` is RUNNING, the campaign is CANCELLED and some of its attacks still
                run. Repeat the call after :meth:`cancel_attacks`.
            IllegalTransitionError: a campaign in its state cannot become ``new``.
            QuotaExceededError: its owner would exceed one of ``limits``.
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def finish_campaign(self, campaign_id: str) -> bool:
        """Make a running or waiting campaign SUCCEEDED if all its attacks are finished, none as CANCELLED.

        Returns:
            False if some are not.

        Raises:
            ConflictError: the campaign is neither RUNNING nor WAITING.
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def cancel_attacks(self, campaign_id: str) -> int:
        """Finish every running attack of a CANCELLED campaign as CANCELLED; each appends an event.

        An orchestrator that runs one gets a LeaseLostError at its next write. Checkpoints stay: the
        campaign may be resumed. Attacks that do not run need no change, see the class.

        Returns:
            How many there were.

        Raises:
            ConflictError: the campaign is not CANCELLED, or was resumed meanwhile.
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def delete_campaign(self, campaign_id: str) -> None:
        """Remove an ended campaign with its results, checkpoints, masks and events, and free its request id.

        It is gone for all readers at once. The space is freed in the background, and by :meth:`sweep`.

        Raises:
            FailedPreconditionError: the campaign has not ended.
            ConflictError: some of its attacks still run.
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def sweep(self, unused_seconds: float = UNUSED_SECONDS) -> Swept:
        """Free the space of deleted campaigns, and of images that no campaign uses.

        Images that were uploaded within the last ``unused_seconds`` stay.

        Raises:
            StoreError: see the class.
        """

    @abstractmethod
    async def progress(self, campaign_id: str) -> CampaignProgress:
        """Return the counts over a campaign's attacks.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def progress_of(self, campaign_ids: Collection[str]) -> dict[str, CampaignProgress]:
        """Return the counts of several campaigns at once; campaigns that do not exist are left out.

        Raises:
            StoreError: see the class.
        """

    # Attacks.

    @abstractmethod
    async def get_attack(self, attack: AttackId) -> AttackRecord:
        """Return one attack.

        Raises:
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    @abstractmethod
    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        """Return at most ``limit`` attacks with numbers from ``start``, in order.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        """Take the first attack that is pending, or whose holder's lease has ended, and make it running.

        Returns:
            The attack; None when there is none, and when the campaign is paused or has ended.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    @abstractmethod
    async def release_attack(self, attack: AttackId) -> None:
        """Make a running attack pending again, to be continued from its checkpoint.

        Even where this raises, the attack no longer belongs to this store object.

        Raises:
            LeaseLostError: it did not before.
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    @abstractmethod
    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        """Store the result of a running attack; appends an event and removes its checkpoint.

        A CANCELLED attack keeps its checkpoint: its campaign may be resumed. Where the campaign is not, or
        no longer, CANCELLED, a CANCELLED result releases the attack instead.

        Returns:
            The attack, FINISHED; PENDING where it was released.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    @abstractmethod
    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        """Replace the state and append what was scored since the previous checkpoint.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    @abstractmethod
    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        """Return the last state with everything scored so far, or None where nothing was saved.

        Raises:
            StoreError: see the class. A checkpoint that could not be read now is never None.
        """

    @abstractmethod
    async def drop_checkpoint(self, attack: AttackId) -> None:
        """Remove the checkpoint: the attack starts over.

        Raises:
            LeaseLostError: the attack is not running, or runs elsewhere.
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    # The query ledger: reserved before sending, settled after. A reservation counts until it is settled.

    @abstractmethod
    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        """Count queries that are about to be sent, within ``most_a_day`` by owner.

        Raises:
            LeaseLostError: some of the attacks are not running, or run elsewhere. Nothing was reserved.
            DayUsedUpError: an owner has reached its limit already. Nothing was reserved.
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    @abstractmethod
    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        """Record what became of queries that were reserved earlier.

        Until then, and for ever if the process dies before, they count as sent.

        Raises:
            StoreError: see the class.
        """

    @abstractmethod
    async def ledger(self, attack: AttackId) -> Ledger:
        """Return the queries of one attack so far. ``sent`` holds what is reserved and not rejected.

        ``skipped`` and ``repeated`` are 0 until the attack has finished.

        Raises:
            NotFoundError: no such campaign or attack.
            StoreError: see the class.
        """

    # Events.

    @abstractmethod
    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        """Return at most ``limit`` events with a sequence over ``sequence``, in order. The first is number 1.

        Raises:
            NotFoundError: no such campaign.
            StoreError: see the class.
        """

    # The store itself.

    @abstractmethod
    async def check(self) -> None:
        """Return if the store can write now.

        Raises:
            StoreError: it cannot.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release what the store holds, leases included. Idempotent."""
