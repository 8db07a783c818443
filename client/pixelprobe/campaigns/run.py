"""Running one campaign from start to end: start, watch, and never leave it running behind an interruption."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Attack, Campaign, CampaignSpec, Event
from pixelprobe_services.common.errors import ServiceError

CANCEL_SECONDS = 20.0
"""How long a cancelled campaign's attacks may take to finish before their results are read as they are."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class CampaignRun:
    """What came of a campaign.

    Attributes:
        campaign: its last state.
        attacks: the finished attacks, in the spec's order.
        interrupted: a KeyboardInterrupt cancelled it.
    """

    campaign: Campaign
    attacks: tuple[Attack, ...]
    interrupted: bool


def run_campaign(
    client: PixelprobeClient,
    spec: CampaignSpec,
    on_event: Callable[[Event], None],
    on_interrupt: Callable[[], None],
) -> CampaignRun:
    """Start a campaign and stay with it until it ends.

    A KeyboardInterrupt cancels it on the server and its results so far are returned; a second one is
    raised. Any other exception cancels it too, as far as the server can be reached, and is raised.

    Args:
        client: where to.
        spec: what to attack; its images must have been uploaded.
        on_event: called with all that happens.
        on_interrupt: called when the first KeyboardInterrupt has come, before the cancellation.

    Raises:
        ServiceError: as :meth:`PixelprobeClient.create_campaign` and :meth:`PixelprobeClient.watch_campaign`.
    """
    # The id makes starting repeatable: whatever interrupts it, the same call names the campaign again.
    request_id = uuid.uuid4().hex
    try:
        name = client.create_campaign(spec, request_id).name
        with _cancelled_on_error(client, name):
            for event in client.watch_campaign(name):
                on_event(event)
    except KeyboardInterrupt:
        on_interrupt()
        name = client.create_campaign(spec, request_id).name
        campaign = _cancel(client, name)
        return CampaignRun(campaign, tuple(client.list_results(name)), interrupted=True)
    return CampaignRun(client.get_campaign(name), tuple(client.list_results(name)), interrupted=False)


@contextlib.contextmanager
def _cancelled_on_error(client: PixelprobeClient, name: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        # The error that is under way matters more than one from tidying up.
        with contextlib.suppress(ServiceError):
            client.cancel_campaign(name)
        raise


def _cancel(client: PixelprobeClient, name: str) -> Campaign:
    campaign = client.cancel_campaign(name)
    deadline = time.monotonic() + CANCEL_SECONDS
    while campaign.attacks_finished < campaign.attacks_total and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        campaign = client.get_campaign(name)
    return campaign
