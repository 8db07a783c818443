"""Runs on the server: started once however often they are asked for, and found again by name.

A name is one of: ``campaigns/ID`` or ``ID``, one campaign; ``NAME@TAG``, all campaigns of one run;
``NAME@TAG/GROUP``, one of them; ``NAME`` or ``NAME/GROUP``, the same of the newest run of that name. What TAG
and GROUP are says :mod:`pixelprobe.campaigns.resolve`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.resolve import Run
from pixelprobe.model import Campaign, CampaignState
from pixelprobe_services.common.errors import InvalidArgumentError, NotFoundError

STOPPED = frozenset({CampaignState.PAUSED, CampaignState.CANCELLED})
"""States in which a campaign waits to be resumed."""

_PREFIX = "campaigns/"


@dataclass(frozen=True)
class Started:
    """A campaign of a run, and how it came to run: ``created``, ``resumed`` or already ``there``."""

    campaign: Campaign
    how: str


def start_run(client: PixelprobeClient, run: Run) -> list[Started]:
    """Create those campaigns of a run that are not there yet, and resume those that have stopped.

    Raises:
        ServiceError: as :meth:`PixelprobeClient.create_campaign`; those before it run.
    """
    before = {campaign.name for campaign in client.list_campaigns()}
    started = []
    for wanted in run.campaigns:
        campaign = client.create_campaign(wanted.spec, wanted.request_id)
        how = "there" if campaign.name in before else "created"
        if campaign.state in STOPPED:
            campaign, how = client.resume_campaign(campaign.name), "resumed"
        started.append(Started(campaign, how))
    return started


def find_campaigns(client: PixelprobeClient, name: str) -> list[Campaign]:
    """The campaigns that a person means, the oldest first; see the module's docstring.

    Raises:
        NotFoundError: there are none.
    """
    campaigns = _by_label(client, name)
    if campaigns:
        return campaigns
    try:
        return [client.get_campaign(name if name.startswith(_PREFIX) else f"{_PREFIX}{name}")]
    except (NotFoundError, InvalidArgumentError) as error:
        raise NotFoundError(
            f"no campaign or run is called {name!r}; `pixelprobe campaign list` shows them"
        ) from error


def run_label(campaign: Campaign) -> str:
    """``NAME@TAG`` of the run that a campaign belongs to; its whole name if it belongs to none."""
    label = campaign.display_name.partition("/")[0]
    return label if "@" in label else campaign.display_name


def _by_label(client: PixelprobeClient, name: str) -> list[Campaign]:
    label, _, group = name.partition("/")
    if not label or name.startswith(_PREFIX):
        return []
    found: list[Campaign] = []
    newest = ""
    for campaign in client.list_campaigns():  # newest first
        its_label, _, its_group = campaign.display_name.partition("/")
        if label not in (its_label, its_label.partition("@")[0]) or "@" not in its_label:
            continue
        newest = newest or its_label
        if its_label == newest and group in ("", its_group):
            found.append(campaign)
    return found[::-1]


def all_ended(campaigns: Sequence[Campaign]) -> bool:
    """Nothing more will happen by itself."""
    return all(campaign.ended for campaign in campaigns)
