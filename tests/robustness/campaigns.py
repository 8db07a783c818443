"""Campaigns on the fake target, built from protobuf messages."""

from __future__ import annotations

from typing import Any

import numpy as np

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_services.common.images import from_array
from tests.robustness.servers import SIDE, TARGET

SECONDS = 60.0
"""Deadline of a call; generous, as the machine may be busy."""


def images(count: int) -> list[image_pb2.Image]:
    """Return different images of the target's size, the same in each call."""
    random = np.random.default_rng(count)
    return [from_array(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for _ in range(count)]


def begin(stub: Any, attacks: int, **search: Any) -> str:
    """Start a campaign of that many attacks, each of that many generations. Returns its name."""
    uploads = (pb.UploadImagesRequest(image=image) for image in images(attacks))
    digests = stub.UploadImages(uploads, timeout=SECONDS).digests
    spec = campaign_pb2.CampaignSpec(
        images=[campaign_pb2.CampaignImage(digest=digest) for digest in digests],
        targets=[TARGET],
        regions=[campaign_pb2.REGION_WHOLE],
        pixel_counts=[1],
        goals=[campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())],
        search=campaign_pb2.SearchSettings(no_early_stop=True, **search),
        seed=7,
    )
    name: str = stub.CreateCampaign(pb.CreateCampaignRequest(spec=spec), timeout=SECONDS).campaign.name
    return name


def results(stub: Any, name: str) -> list[Any]:
    """All finished attacks, in the spec's order."""
    request = pb.ListResultsRequest(parent=name, page_size=1000)
    return list(stub.ListResults(request, timeout=SECONDS).attacks)
