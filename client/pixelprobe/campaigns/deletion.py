"""Which campaigns to delete: by name, by age, or both."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.runs import find_campaigns
from pixelprobe.model import Campaign, CampaignState
from pixelprobe_services.common.errors import FailedPreconditionError

ENDED = frozenset({CampaignState.SUCCEEDED, CampaignState.CANCELLED})


def campaigns_to_delete(
    client: PixelprobeClient, names: Sequence[str], older_than: timedelta | None = None
) -> list[Campaign]:
    """Return the campaigns of ``names``, each once; without names, all ended ones that the client owns.

    With ``older_than``, campaigns that have not ended, or ended later than that long ago, are left out.

    Raises:
        NotFoundError: there is no campaign or run of a name.
        FailedPreconditionError: one was named that has not ended. None should be deleted then.
    """
    if names:
        found = {one.name: one for name in names for one in find_campaigns(client, name)}
    else:
        found = {one.name: one for one in client.list_campaigns(own=True) if one.state in ENDED}
    if older_than is not None:
        latest = datetime.now(UTC) - older_than
        return [one for one in found.values() if one.end_time is not None and one.end_time <= latest]
    for one in found.values():
        if one.state not in ENDED:
            raise FailedPreconditionError(
                f"{one.name} is {one.state.value}: `pixelprobe campaign cancel {one.name}` ends it first"
            )
    return list(found.values())
