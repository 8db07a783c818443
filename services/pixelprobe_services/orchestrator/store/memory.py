"""A store that lives and dies with the process. One event loop, so no locks: no method awaits midway."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pixelprobe_services.common.errors import ConflictError, NotFoundError
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
from pixelprobe_services.orchestrator.store import limits as quotas
from pixelprobe_services.orchestrator.store.base import (
    AttackId,
    AttackRecord,
    CampaignProgress,
    CampaignRecord,
    Checkpoint,
    Event,
    QueryCount,
    Store,
    StoredMask,
)
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.limits import (
    NO_LIMITS,
    UNLIMITED,
    DayUsedUpError,
    Limits,
    check_limits,
)
from pixelprobe_services.orchestrator.store.memory_campaign import KeptCampaign

ACTIVE = (CampaignState.RUNNING, CampaignState.WAITING)
CLAIMABLE = (CampaignState.PENDING, *ACTIVE)
OPEN = (*CLAIMABLE, CampaignState.PAUSED)
_NOTHING = Ledger(answered=0)


class MemoryStore(Store):
    """Everything in dictionaries."""

    def __init__(self) -> None:
        self._images: dict[str, Pixels] = {}
        self._campaigns: dict[str, KeptCampaign] = {}  # in order of creation
        self._requests: dict[str, str] = {}
        self._checkpoints: dict[AttackId, Checkpoint] = {}
        self._days: Counter[tuple[str, int]] = Counter()  # queries by owner and day

    async def put_image(self, digest: str, image: Pixels) -> None:
        self._images.setdefault(digest, image)

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
        if request_id and request_id in self._requests:
            return self._campaigns[self._requests[request_id]].record, False
        campaign_id = uuid.uuid4().hex[:12]
        self._admit(owner, limits, campaign_id)
        record = CampaignRecord(
            campaign_id, spec, request_id, CampaignState.PENDING, "", datetime.now(UTC), None, owner
        )
        attacks = [
            AttackRecord(
                AttackId(campaign_id, planned.number),
                planned.image_index,
                planned.key,
                AttackState.PENDING,
            )
            for planned in spec.attacks()
        ]
        campaign = KeptCampaign(record, attacks, list(range(len(attacks))))
        campaign.append_event(CampaignState.PENDING, None)
        self._campaigns[campaign_id] = campaign
        if request_id:
            self._requests[request_id] = campaign_id
        return record, True

    async def get_campaign(self, campaign_id: str) -> CampaignRecord:
        return self._campaign(campaign_id).record

    async def list_campaigns(self, limit: int, after: str = "") -> list[CampaignRecord]:
        newest_first = list(reversed(self._campaigns))
        start = newest_first.index(self._campaign(after).record.id) + 1 if after else 0
        return [self._campaigns[key].record for key in newest_first[start : start + limit]]

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
        if campaign.record.state not in expected:
            raise ConflictError(f"campaign {campaign_id} is {campaign.record.state.value}")
        check_transition(campaign.record.state, new)
        self._admit(campaign.record.owner, limits, campaign_id)
        if new is CampaignState.RUNNING:
            self._reopen_cancelled(campaign)
        ended = new in (CampaignState.SUCCEEDED, CampaignState.CANCELLED)
        campaign.record = replace(
            campaign.record,
            state=new,
            state_reason=reason,
            end_time=datetime.now(UTC) if ended else None,
        )
        campaign.append_event(new, None)
        return campaign.record

    async def finish_campaign(self, campaign_id: str) -> bool:
        campaign = self._campaign(campaign_id)
        if campaign.record.state not in ACTIVE:
            raise ConflictError(f"campaign {campaign_id} is {campaign.record.state.value}")
        if campaign.finished < len(campaign.attacks):
            return False
        await self.change_campaign_state(campaign_id, CampaignState.SUCCEEDED, expected=ACTIVE)
        return True

    async def cancel_attacks(self, campaign_id: str) -> int:
        campaign = self._campaign(campaign_id)
        unfinished = [one for one in campaign.attacks if one.state is not AttackState.FINISHED]
        for record in unfinished:
            ledger = campaign.ledgers.get(record.id.number, _NOTHING)
            self._finish(record, AttackResult(Outcome.CANCELLED, ledger=ledger), None)
        campaign.pending.clear()
        return len(unfinished)

    async def progress(self, campaign_id: str) -> CampaignProgress:
        campaign = self._campaign(campaign_id)
        ledger = sum(campaign.ledgers.values(), _NOTHING + campaign.free)
        return CampaignProgress(len(campaign.attacks), campaign.finished, ledger)

    async def get_attack(self, attack: AttackId) -> AttackRecord:
        attacks = self._campaign(attack.campaign_id).attacks
        if not 0 <= attack.number < len(attacks):
            raise NotFoundError(f"campaign {attack.campaign_id} has no attack {attack.number}")
        return attacks[attack.number]

    async def list_attacks(
        self, campaign_id: str, *, start: int, limit: int, finished_only: bool
    ) -> list[AttackRecord]:
        found: list[AttackRecord] = []
        for record in self._campaign(campaign_id).attacks[start:]:
            if len(found) == limit:
                break
            if not finished_only or record.state is AttackState.FINISHED:
                found.append(record)
        return found

    async def claim_attack(self, campaign_id: str) -> AttackRecord | None:
        campaign = self._campaign(campaign_id)
        if not campaign.pending or campaign.record.state not in CLAIMABLE:
            return None
        number = campaign.pending.pop(0)
        campaign.attacks[number] = replace(campaign.attacks[number], state=AttackState.RUNNING)
        return campaign.attacks[number]

    async def release_attack(self, attack: AttackId) -> None:
        self._running(attack)
        self._make_pending(self._campaign(attack.campaign_id), attack.number)

    async def finish_attack(
        self, attack: AttackId, result: AttackResult, mask: MaskArray | None
    ) -> AttackRecord:
        record = self._finish(self._running(attack), result, mask)
        if result.outcome is not Outcome.CANCELLED:
            self._checkpoints.pop(attack, None)
        return record

    async def save_checkpoint(self, attack: AttackId, checkpoint: Checkpoint) -> None:
        self._running(attack)
        before = self._checkpoints.get(attack)
        scored = (before.scored if before else ()) + checkpoint.scored
        self._checkpoints[attack] = Checkpoint(checkpoint.state, scored)

    async def load_checkpoint(self, attack: AttackId) -> Checkpoint | None:
        return self._checkpoints.get(attack)

    async def drop_checkpoint(self, attack: AttackId) -> None:
        self._running(attack)
        self._checkpoints.pop(attack, None)

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
        day = quotas.today()
        for owner in sorted(set(owners.values())):
            if owner in most_a_day and self._days[owner, day] >= most_a_day[owner]:
                theirs = [attack for attack, whose in owners.items() if whose == owner]
                raise DayUsedUpError(owner, most_a_day[owner], theirs)
        for count in counts:
            if owners[count.attack]:
                self._days[owners[count.attack], day] += count.queries
            again = count.queries if count.is_retry else 0
            self._add(count.attack, Ledger(sent=count.queries, retries=again))

    async def spend_day(self, subject: str, queries: int, most: int) -> None:
        key = subject, quotas.today()
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
        return self._days[owner, quotas.today()]

    async def ledger(self, attack: AttackId) -> Ledger:
        return self._campaign(attack.campaign_id).ledgers.get(attack.number, _NOTHING)

    async def events_after(self, campaign_id: str, sequence: int, limit: int) -> list[Event]:
        return self._campaign(campaign_id).events[sequence : sequence + limit]

    async def check(self) -> None:
        """Memory is always there."""

    async def close(self) -> None:
        """Nothing is held."""

    def _add(self, attack: AttackId, ledger: Ledger) -> None:
        ledgers = self._campaign(attack.campaign_id).ledgers
        ledgers[attack.number] = ledgers.get(attack.number, _NOTHING) + ledger

    def _campaign(self, campaign_id: str) -> KeptCampaign:
        if campaign_id not in self._campaigns:
            raise NotFoundError(f"no campaign {campaign_id!r}", reason="CAMPAIGN_NOT_FOUND")
        return self._campaigns[campaign_id]

    def _admit(self, owner: str, limits: Limits, campaign_id: str) -> None:
        others_open = sum(
            one.record.owner == owner and one.record.state in OPEN and one.record.id != campaign_id
            for one in self._campaigns.values()
        )
        used = self._days[owner, quotas.today()]
        check_limits(owner, limits, others_open=others_open, queries_today=used)

    def _running(self, attack: AttackId) -> AttackRecord:
        record = self._campaign(attack.campaign_id).attacks[attack.number]
        if record.state is not AttackState.RUNNING:
            raise LeaseLostError([attack])
        return record

    def _finish(self, attack: AttackRecord, result: AttackResult, mask: MaskArray | None) -> AttackRecord:
        record = replace(
            attack, state=AttackState.FINISHED, result=result, mask=mask, end_time=datetime.now(UTC)
        )
        campaign = self._campaign(attack.id.campaign_id)
        campaign.attacks[attack.id.number] = record
        campaign.finished += 1
        campaign.free += _free(result.ledger)
        campaign.append_event(None, attack.id.number)
        return record

    def _make_pending(self, campaign: KeptCampaign, number: int) -> None:
        campaign.attacks[number] = replace(
            campaign.attacks[number], state=AttackState.PENDING, result=None, mask=None, end_time=None
        )
        campaign.pending.insert(bisect_left(campaign.pending, number), number)

    def _reopen_cancelled(self, campaign: KeptCampaign) -> None:
        for record in campaign.attacks:
            if record.result and record.result.outcome is Outcome.CANCELLED:
                campaign.finished -= 1
                free = record.result.ledger
                campaign.free = Ledger(
                    0, campaign.free.skipped - free.skipped, campaign.free.repeated - free.repeated
                )
                self._make_pending(campaign, record.id.number)


def _free(ledger: Ledger) -> Ledger:
    """The candidates that needed no query."""
    return Ledger(skipped=ledger.skipped, repeated=ledger.repeated)
