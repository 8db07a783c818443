"""Specs in memory: without masks, for what asks often, and bounded by their bytes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from cachetools import LRUCache

from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.wire import spec_from_pb, spec_to_pb

CACHE_BYTES = 128 * 2**20
"""Memory of all cached specs together."""

_IMAGE_BYTES = 400
"""An image's entry without its texts: the object, its digest and its label."""


@dataclass(frozen=True)
class Plan:
    """A campaign's spec without masks, which says what each attack is.

    Attributes:
        has_masks: the whole spec has masks.
        bytes: memory it takes, about.
    """

    spec: CampaignSpec
    has_masks: bool
    bytes: int


def plan_from_bytes(data: bytes) -> Plan:
    """Decode a serialised spec without unpacking its masks, which take eight times their bytes."""
    message = campaign_pb2.CampaignSpec.FromString(data)
    has_masks = False
    for image in message.images:
        has_masks = has_masks or image.HasField("mask")
        image.ClearField("mask")
    spec = spec_from_pb(message)
    texts = sum(sys.getsizeof(image.display_name) for image in spec.images)
    return Plan(spec, has_masks, texts + _IMAGE_BYTES * len(spec.images))


def head_of(spec: CampaignSpec) -> bytes:
    """Serialise a spec without its images."""
    return spec_to_pb(spec, with_images=False).SerializeToString(deterministic=True)


class PlanCache:
    """Keeps the plans used last, by campaign."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        self._plans: LRUCache[str, Plan] = LRUCache(most_bytes, getsizeof=lambda plan: plan.bytes)

    @property
    def bytes(self) -> int:
        """Memory of what is kept, about."""
        return int(self._plans.currsize)

    def get(self, campaign_id: str) -> Plan | None:
        """Return the plan, if it is kept."""
        return self._plans.get(campaign_id)

    def put(self, campaign_id: str, plan: Plan) -> None:
        """Keep a plan in place of the longest unused ones; one larger than the whole cache is not kept."""
        if plan.bytes <= self._plans.maxsize:
            self._plans[campaign_id] = plan

    def drop(self, campaign_id: str) -> None:
        """Remove a plan."""
        self._plans.pop(campaign_id, None)
