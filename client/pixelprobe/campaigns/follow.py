"""Running one campaign to its end in the foreground; an interruption cancels it on the server."""

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
"""How long the attacks of a cancelled campaign may take to finish before the results are read."""

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class CampaignRun:
    """A campaign that has ended.

    Attributes:
        campaign: in its last state.
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
    """Start a campaign and watch it until it ends.

    A KeyboardInterrupt cancels the campaign on the server, and the results so far are returned; a second
    one is raised. Any other exception cancels it too, if the server can be reached, and is raised.

    Args:
        client: of the server.
        spec: what to attack; its images must have been uploaded.
        on_event: called with each event.
        on_interrupt: called at the first KeyboardInterrupt, before the cancellation.

    Raises:
        ServiceError: as :meth:`PixelprobeClient.create_campaign` and :meth:`PixelprobeClient.watch_campaign`.
    """
    # With the same request id an interrupted call can be repeated and returns the same campaign.
    request_id = uuid.uuid4().hex
    try:
        name = client.create_campaign(spec, request_id).name
        with _cancelled_on_error(client, name):
            for event in client.watch_campaign(name):
                on_event(event)
    except KeyboardInterrupt:
        on_interrupt()
        name = client.create_campaign(spec, request_id).name
        campaign = cancel_and_wait(client, name)
        return CampaignRun(campaign, tuple(client.list_results(name)), interrupted=True)
    return CampaignRun(client.get_campaign(name), tuple(client.list_results(name)), interrupted=False)


@contextlib.contextmanager
def _cancelled_on_error(client: PixelprobeClient, name: str) -> Iterator[None]:
    try:
        yield
    except Exception:
        # The first error matters more than one from the cancellation.
        with contextlib.suppress(ServiceError):
            client.cancel_campaign(name)
        raise


def cancel_and_wait(client: PixelprobeClient, name: str) -> Campaign:
    """Cancel a campaign and return it once its attacks have finished, or after CANCEL_SECONDS."""
    campaign = client.cancel_campaign(name)
    deadline = time.monotonic() + CANCEL_SECONDS
    while campaign.attacks_finished < campaign.attacks_total and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        campaign = client.get_campaign(name)
    return campaign
