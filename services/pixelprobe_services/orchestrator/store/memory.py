"""A store in memory, which ends with its process. One event loop, so no locks: no method awaits midway."""

from __future__ import annotations

import time
import uuid
from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from pixelprobe_services.common.errors import (
    ConflictError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
)
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    AttackState,
    CampaignState,
    Fate,
    Ledger,
    MaskArray,
    Outcome,
    Pixels,
    check_transition,
)
from pixelprobe_services.common.wire import spec_to_pb
from pixelprobe_services.orchestrator.store.base import UNUSED_SECONDS, Store
from pixelprobe_services.orchestrator.store.errors import CancelUnderWayError, LeaseLostError
from pixelprobe_services.orchestrator.store.limits import (
    NO_LIMITS,
    SECONDS_A_DAY,
    UNLIMITED,
    DayUsedUpError,
    Limits,
    Usage,
    check_limits,
)
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

ENDED = (CampaignState.SUCCEEDED, CampaignState.CANCELLED)
ACTIVE = (CampaignState.RUNNING, CampaignState.WAITING)
CLAIMABLE = (CampaignState.PENDING, *ACTIVE)
OPEN = (*CLAIMABLE, CampaignState.PAUSED)
_NOTHING = Ledger(answered=0)


@dataclass
class _Campaign:
    """A campaign and its attacks, changed in place.

    Attributes:
        attacks: those that were claimed at least once; the others are numbered from ``created`` on.
        pending: numbers of claimed attacks that are pending again, ascending.
        ledgers: the queries of each attack, without skipped and repeated candidates.
    """

    record: CampaignRecord
    stored_bytes: int
    attacks: dict[int, AttackRecord] = field(default_factory=dict)
    created: int = 0
    pending: list[int] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ledgers: dict[int, Ledger] = field(default_factory=dict)
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    masks: dict[str, StoredMask] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.record.spec.attack_count

    def in_state(self, state: AttackState) -> list[AttackRecord]:
        """Return the claimed attacks in that state."""
        return [one for one in self.attacks.values() if one.state is state]

    def append_event(self, state: CampaignState | None, attack: int | None) -> None:
        """Number an event and keep it."""
        self.events.append(Event(len(self.events) + 1, state, attack))

    def attack(self, number: int) -> AttackRecord:
        """Return an attack as readers see it."""
        found = self.attacks.get(number)
        if found is None:
            planned = self.record.spec.attack(number)
            attack = AttackId(self.record.id, number)
            found = AttackRecord(attack, planned.image_index, planned.key, AttackState.PENDING)
        if found.state is AttackState.PENDING and self.record.state is CampaignState.CANCELLED:
            result = AttackResult(Outcome.CANCELLED, ledger=self.ledgers.get(number, _NOTHING))
            return replace(found, state=AttackState.FINISHED, result=result, end_time=self.record.end_time)
        return found


class MemoryStore(Store):
    """Everything in dictionaries. ``clock`` gives seconds since 1970 (UTC)."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._images: dict[str, Pixels] = {}
        self._used: dict[str, float] = {}  # the last upload of each image
        self._campaigns: dict[str, _Campaign] = {}  # in order of creation
        self._requests: dict[tuple[str, str], str] = {}  # campaigns by owner and request id
        self._days: Counter[tuple[str, int]] = Counter()  # queries by owner and day

    async def put_image(self, digest: str, image: Pixels) -> None:
        self._images.setdefault(digest, image)
        self._used[digest] = self._clock()

    async def get_image(self, digest: str) -> Pixels:
        if digest not in self._images:
            raise NotFoundError(f"no image with the digest {digest}", reason="IMAGE_NOT_FOUND")
        return self._images[digest]

    async def image_sizes(self, digests: Collection[str]) -> dict[str, tuple[int, int]]:
        found = self._images.keys() & set(digests)
        return {digest: (self._images[digest].shape[0], self._images[digest].shape[1]) for digest in found}

    async def put_mask(self, campaign_id: str, image_digest: str, mask: StoredMask) -> StoredMask:
        return self._campaign(campaign_id).masks.setdefault(image_digest, mask)

    async def get_mask(self, campaign_id: str, image_digest: str) -> StoredMask | None:
        return self._campaign(campaign_id).masks.get(image_digest)

    async def create_campaign(
        self, spec: CampaignSpec, request_id: str, *, owner: str = "", limits: Limits = NO_LIMITS
    ) -> tuple[CampaignRecord, bool]:
        if "\0" in request_id:
            raise InvalidArgumentError("request_id", "holds a NUL character")
        known = self._requests.get((owner, request_id)) if request_id else None
        if known is not None:
            return self._campaigns[known].record, False
        campaign_id = uuid.uuid4().hex[:12]
        now = datetime.now(UTC)
        record = CampaignRecord(campaign_id, spec, request_id, CampaignState.PENDING, "", now, None, owner)
        digests = {image.digest for image in spec.images} & self._images.keys()
        stored = spec_to_pb(spec).ByteSize() + sum(self._images[digest].nbytes for digest in digests)
        campaign = _Campaign(record, stored)
        self._admit(campaign, limits)
        campaign.append_event(CampaignState.PENDING, None)
        self._campaigns[campaign_id] = campaign
        if request_id:
            self._requests[owner, request_id] = campaign_id
        return record, True

    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        return self._campaign(campaign_id).record

    async def get_summary(self, campaign_id: str) -> CampaignSummary:
        return _summary(self._campaign(campaign_id).record)

    async def list_campaigns(
        self, limit: int, after: str = "", *, owner: str | None = None
    ) -> list[CampaignSummary]:
        newest_first = [one.record for one in reversed(self._campaigns.values())]
        if after:
            newest_first = newest_first[newest_first.index(self._campaign(after).record) + 1 :]
        return [_summary(one) for one in newest_first if owner is None or one.owner == owner][:limit]

    async def campaigns_in(self, states: Collection[CampaignState]) -> list[str]:
        return [key for key, campaign in self._campaigns.items() if campaign.record.state in states]

    async def count_campaigns(self) -> dict[CampaignState, int]:
        return Counter(campaign.record.state for campaign in self._campaigns.values())

    async def change_campaign_state(
        self,
        campaign_id: str,
        new: CampaignState,
        *,
        expected: Collection[CampaignState],
        reason: str = "",
        limits: Limits = NO_LIMITS,
    ) -> CampaignRecord:
        campaign = self._campaign(campaign_id)
        old = campaign.record.state
        if old not in expected:
            raise ConflictError(f"campaign {campaign_id} is {old.value}")
        check_transition(old, new)
        if old is CampaignState.CANCELLED and campaign.in_state(AttackState.RUNNING):
            raise CancelUnderWayError(campaign_id)
        self._admit(campaign, limits)
        if old is CampaignState.CANCELLED:
            self._reopen_cancelled(campaign)
        end_time = datetime.now(UTC) if new in ENDED else None
        campaign.record = replace(campaign.record, state=new, state_reason=reason, end_time=end_time)
        campaign.append_event(new, None)
        return campaign.record

    async def finish_campaign(self, campaign_id: str) -> bool:
        campaign = self._campaign(campaign_id)
        if campaign.record.state not in ACTIVE:
            raise ConflictError(f"campaign {campaign_id} is {campaign.record.state.value}")
        if len(campaign.in_state(AttackState.FINISHED)) < campaign.total:
            return False
        await self.change_campaign_state(campaign_id, CampaignState.SUCCEEDED, expected=ACTIVE)
        return True

    async def cancel_attacks(self, campaign_id: str) -> int:
        campaign = self._campaign(campaign_id)
        if campaign.record.state is not CampaignState.CANCELLED:
            raise ConflictError(f"campaign {campaign_id} is {campaign.record.state.value}")
        running = campaign.in_state(AttackState.RUNNING)
        for record in running:
            ledger = campaign.ledgers.get(record.id.number, _NOTHING)
            self._finish(record, AttackResult(Outcome.CANCELLED, ledger=ledger), None)
        return len(running)

    async def delete_campaign(self, campaign_id: str) -> None:
        campaign = self._campaign(campaign_id)
        record = campaign.record
        if record.state not in ENDED:
            raise FailedPreconditionError(
                f"campaign {campaign_id} is {record.state.value}: cancel it before deleting it"
            )
        if campaign.in_state(AttackState.RUNNING):
            raise ConflictError(f"campaign {campaign_id} is still being cancelled; try again in a moment")
        del self._campaigns[campaign_id]
        self._requests.pop((record.owner, record.request_id), None)

    async def sweep(self, unused_seconds: float = UNUSED_SECONDS) -> Swept:
        used = {image.digest for one in self._campaigns.values() for image in one.record.spec.images}
        oldest = self._clock() - unused_seconds
        unused = [one for one in self._images if one not in used and self._used[one] <= oldest]
        for digest in unused:
            del self._images[digest], self._used[digest]
        return Swept(0, len(unused))

    async def progress(self, campaign_id: str) -> CampaignProgress:
        campaign = self._campaign(campaign_id)
        finished = campaign.in_state(AttackState.FINISHED)
        results = [one.result for one in finished if one.result]
        cancelled = sum(one.outcome is Outcome.CANCELLED for one in results)
        done = len(finished)
        if campaign.record.state is CampaignState.CANCELLED:
            running = len(campaign.in_state(AttackState.RUNNING))
            cancelled += campaign.total - done - running
            done = campaign.total - running
        free = [Ledger(skipped=one.ledger.skipped, repeated=one.ledger.repeated) for one in results]
        ledger = sum([*campaign.ledgers.values(), *free], _NOTHING)
        return CampaignProgress(campaign.total, done, ledger, cancelled)

    async def progress_of(self, campaign_ids: Collection[str]) -> dict[str, CampaignProgress]:
        return {one: await self.progress(one) for one in campaign_ids if one in self._campaigns}

    async def get_attack(self, attack: AttackId) -> AttackRecord:
        return self._attacks_campaign(attack).attack(attack.number)

    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        campaign = self._campaign(campaign_id)
        found: list[AttackRecord] = []
        for number in range(start, campaign.total):
            if len(found) == limit:
                break
            record = campaign.attack(number)
            if not finished_only or record.state is AttackState.FINISHED:
                found.append(record)
        return found

    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        campaign = self._campaign(campaign_id)
        if campaign.record.state not in CLAIMABLE:
            return None
        if campaign.pending:
            number = campaign.pending.pop(0)
        elif campaign.created < campaign.total:
            number = campaign.created
            campaign.created += 1
        else:
            return None
        campaign.attacks[number] = replace(campaign.attack(number), state=AttackState.RUNNING)
        return campaign.attacks[number]

    async def release_attack(self, attack: AttackId) -> None:
        self._running(attack)
        self._make_pending(attack)

    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        running = self._running(attack)
        campaign = self._campaign(attack.campaign_id)
        if result.outcome is Outcome.CANCELLED and campaign.record.state is not CampaignState.CANCELLED:
            self._make_pending(attack)
            return campaign.attacks[attack.number]
        if result.outcome is not Outcome.CANCELLED:
            campaign.checkpoints.pop(attack.number, None)
        return self._finish(running, result, mask)

    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        self._running(attack)
        checkpoints = self._campaign(attack.campaign_id).checkpoints
        before = checkpoints.get(attack.number)
        scored = (before.scored if before else ()) + checkpoint.scored
        checkpoints[attack.number] = Checkpoint(checkpoint.state, scored)

    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        campaign = self._campaigns.get(attack.campaign_id)
        return campaign.checkpoints.get(attack.number) if campaign else None

    async def drop_checkpoint(self, attack: AttackId) -> None:
        self._running(attack)
        self._campaign(attack.campaign_id).checkpoints.pop(attack.number, None)

    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        lost = [
            count.attack
            for count in counts
            if (await self.get_attack(count.attack)).state is not AttackState.RUNNING
        ]
        if lost:
            raise LeaseLostError(lost)
        owners = {count.attack: self._campaign(count.attack.campaign_id).record.owner for count in counts}
        day = self._today()
        for owner in sorted(set(owners.values())):
            if owner in most_a_day and self._days[owner, day] >= most_a_day[owner]:
                asking = [attack for attack, one in owners.items() if one == owner]
                raise DayUsedUpError(owner, most_a_day[owner], asking)
        for count in counts:
            if owners[count.attack]:
                self._days[owners[count.attack], day] += count.queries
            again = count.queries if count.is_retry else 0
            self._add(count.attack, Ledger(sent=count.queries, retries=again))

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        key = subject, self._today()
        if self._days[key] + queries > most:
            raise DayUsedUpError(subject, most)
        self._days[key] += queries

    async def settle_queries(self, counts: Sequence[QueryCount], fate: Fate = Fate.ANSWERED) -> None:
        for count in counts:
            if fate is Fate.ANSWERED:
                self._add(count.attack, Ledger(answered=count.queries))
            elif fate is Fate.TIMED_OUT:
                self._add(count.attack, Ledger(timed_out=count.queries))
            elif fate is Fate.REJECTED:
                self._add(count.attack, Ledger(sent=-count.queries, rejected=count.queries))

    async def queries_today(self, owner: str) -> int:
        return self._days[owner, self._today()]

    async def ledger(self, attack: AttackId) -> Ledger:
        return self._attacks_campaign(attack).ledgers.get(attack.number, _NOTHING)

    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        return self._campaign(campaign_id).events[sequence : sequence + limit]

    async def check(self) -> None:
        """Return: memory can always be written."""

    async def close(self) -> None:
        """Do nothing: no resource is held."""

    def _today(self) -> int:
        return int(self._clock() // SECONDS_A_DAY)

    def _add(self, attack: AttackId, ledger: Ledger) -> None:
        ledgers = self._campaign(attack.campaign_id).ledgers
        ledgers[attack.number] = ledgers.get(attack.number, _NOTHING) + ledger

    def _campaign(self, campaign_id: str) -> _Campaign:
        if campaign_id not in self._campaigns:
            raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
        return self._campaigns[campaign_id]

    def _attacks_campaign(self, attack: AttackId) -> _Campaign:
        campaign = self._campaign(attack.campaign_id)
        if not 0 <= attack.number < campaign.total:
            raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
        return campaign

    def _admit(self, campaign: _Campaign, limits: Limits) -> None:
        """Raise QuotaExceededError where the campaign's owner may not have it open beside the others."""
        owner = campaign.record.owner
        others = [
            one
            for one in self._campaigns.values()
            if one.record.owner == owner and one.record.id != campaign.record.id
        ]
        others_open = [one for one in others if one.record.state in OPEN]
        usage = Usage(
            others_open=len(others_open),
            attacks=sum(one.total for one in others_open) + campaign.total,
            stored_bytes=sum(one.stored_bytes for one in others) + campaign.stored_bytes,
            queries_today=self._days[owner, self._today()],
        )
        check_limits(owner, limits, usage)

    def _running(self, attack: AttackId) -> AttackRecord:
        record = self._attacks_campaign(attack).attack(attack.number)
        if record.state is not AttackState.RUNNING:
            raise LeaseLostError([attack])
        return record

    def _finish(self, attack: AttackRecord, result: AttackResult, mask: MaskArray | None) -> AttackRecord:
        record = replace(
            attack, state=AttackState.FINISHED, result=result, mask=mask, end_time=datetime.now(UTC)
        )
        campaign = self._campaign(attack.id.campaign_id)
        campaign.attacks[attack.id.number] = record
        campaign.append_event(None, attack.id.number)
        return record

    def _make_pending(self, attack: AttackId) -> None:
        campaign = self._campaign(attack.campaign_id)
        campaign.attacks[attack.number] = replace(
            campaign.attacks[attack.number], state=AttackState.PENDING, result=None, mask=None, end_time=None
        )
        insort(campaign.pending, attack.number)

    def _reopen_cancelled(self, campaign: _Campaign) -> None:
        for record in campaign.in_state(AttackState.FINISHED):
            if record.result and record.result.outcome is Outcome.CANCELLED:
                self._make_pending(record.id)


def _summary(record: CampaignRecord) -> CampaignSummary:
    head = spec_to_pb(record.spec, with_images=False).SerializeToString(deterministic=True)
    return CampaignSummary(
        record.id,
        record.request_id,
        record.state,
        record.state_reason,
        record.create_time,
        record.end_time,
        record.owner,
        record.spec.attack_count,
        head,
    )
