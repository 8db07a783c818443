"""Specs by campaign: they never change, and reading one of many images takes a while."""

from __future__ import annotations

from collections import OrderedDict

from pixelprobe_services.common.spec import CampaignSpec

MOST_IMAGES = 200_000
"""Of all specs kept together; an image's entry takes about half a kilobyte."""


class SpecCache:
    """Keeps those used last."""

    def __init__(self) -> None:
        self._specs: OrderedDict[str, CampaignSpec] = OrderedDict()

    def get(self, campaign_id: str) -> CampaignSpec | None:
        """The spec, if it is kept."""
        if campaign_id in self._specs:
            self._specs.move_to_end(campaign_id)
        return self._specs.get(campaign_id)

    def put(self, campaign_id: str, spec: CampaignSpec) -> None:
        """Keep a spec, and forget the longest unused where they become too many."""
        self._specs[campaign_id] = spec
        while len(self._specs) > 1 and sum(len(one.images) for one in self._specs.values()) > MOST_IMAGES:
            self._specs.popitem(last=False)
