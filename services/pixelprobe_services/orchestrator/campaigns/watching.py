"""Follows one campaign for a client: lasting events, progress, and what the campaign waits for just now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pixelprobe_services.common.errors import UnavailableError
from pixelprobe_services.common.values import CampaignState
from pixelprobe_services.orchestrator.attacks.run import Progress
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.store.base import AttackId, Event, Store
from pixelprobe_services.orchestrator.timing import Timing

ENDED = frozenset({CampaignState.SUCCEEDED, CampaignState.CANCELLED})
EVENTS_A_READ = 256


@dataclass(frozen=True)
class Shown:
    """A campaign's state and reason as clients see them, where the store's record says less.

    A campaign may wait for something out of reach (WAITING), or for a target that asks for a pause (RUNNING
    with a reason); an empty reason says that it waits no longer.
    """

    state: CampaignState
    reason: str


class Campaigns(Protocol):
    """What a watcher needs to know of the campaigns that run here."""

    is_stopping: bool

    def runs_here(self, campaign_id: str) -> bool:
        """Whether attacks of the campaign may still be ending here."""

    def shown(self, campaign_id: str) -> Shown:
        """What an unfinished campaign waits for."""


Item = Event | Shown | tuple[AttackId, Progress]


async def watch(
    store: Store,
    events: EventHub,
    campaigns: Campaigns,
    campaign_id: str,
    after_sequence: int,
    timing: Timing,
) -> AsyncIterator[tuple[int, Item]]:
    """Yield (sequence, item) until the campaign has ended and all its events were yielded.

    Lasting events come in order. Progress and changes of what is waited for come in between, with the
    sequence of the last event.

    Raises:
        UnavailableError: this orchestrator stops; watch again after the last sequence seen.
    """
    sequence = after_sequence
    shown = Shown(CampaignState.RUNNING, "")
    with events.watch(campaign_id) as watcher:
        # The first read is the watcher's own: it must see everything that was done before it came.
        ended, found = await _read(store, campaigns, campaign_id, sequence)
        while True:
            for event in found:
                sequence = event.sequence
                yield sequence, event
            if len(found) < EVENTS_A_READ:
                if ended:
                    return
                if (now := campaigns.shown(campaign_id)) != shown:
                    shown = now
                    yield sequence, shown
                for item in watcher.take_progress().items():
                    yield sequence, item
                if campaigns.is_stopping:
                    raise UnavailableError("the orchestrator is shutting down", reason="SHUTTING_DOWN")
                await watcher.wait(timing.watch_poll)
            ended, found = await events.once(
                campaign_id, sequence, partial(_read, store, campaigns, campaign_id, sequence)
            )


async def _read(
    store: Store, campaigns: Campaigns, campaign_id: str, sequence: int
) -> tuple[bool, list[Event]]:
    """Return whether the campaign has ended, and its first events after ``sequence``.

    Ended: in a final state, and no attack is still being stored. This is read before the events, so that
    none can come after those.
    """
    record = await store.get_summary(campaign_id)
    ended = record.state in ENDED and not campaigns.runs_here(campaign_id)
    return ended, await store.events_after(campaign_id, sequence, EVENTS_A_READ)
