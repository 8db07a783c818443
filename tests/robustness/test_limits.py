"""What is too long or too large is refused by its field, before it costs anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as segmentation_pb
from pixelprobe_services.common.errors import InvalidArgumentError
from pixelprobe_services.common.status import from_rpc_error
from pixelprobe_services.orchestrator.campaigns.admission import MAX_HINTS, MAX_TEXT
from pixelprobe_services.orchestrator.servicer import MAX_SEQUENCE
from pixelprobe_services.server import server as server_module
from pixelprobe_services.server.server import ServerEndedError, serve
from tests.robustness.campaigns import SECONDS
from tests.robustness.servers import TARGET, Services

LONG = "x" * (MAX_TEXT + 1)


def spec(**changes: Any) -> campaign_pb2.CampaignSpec:
    fields: dict[str, Any] = {
        "images": [campaign_pb2.CampaignImage(digest="0" * 64)],
        "targets": [TARGET],
        "regions": [campaign_pb2.REGION_WHOLE],
        "pixel_counts": [1],
        "goals": [campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())],
    }
    return campaign_pb2.CampaignSpec(**{**fields, **changes})


def strokes(points: int) -> segmentation_pb.GrabCutOptions:
    stroke = segmentation_pb.Stroke(points=[segmentation_pb.Point(x=3, y=3)] * points)
    return segmentation_pb.GrabCutOptions(strokes=[stroke])


def create(**changes: Any) -> Callable[[Any], Any]:
    return lambda stub: stub.CreateCampaign(pb.CreateCampaignRequest(spec=spec(**changes)), timeout=SECONDS)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (create(display_name=LONG), "display_name"),
        (
            create(images=[campaign_pb2.CampaignImage(digest="0" * 64, display_name=LONG)]),
            "images[0].display_name",
        ),
        (create(masks=campaign_pb2.MaskSettings(segmenter=LONG)), "masks.segmenter"),
        (create(masks=campaign_pb2.MaskSettings(grabcut=strokes(MAX_HINTS))), "masks"),
        (lambda stub: stub.GetImage(pb.GetImageRequest(digest="\0"), timeout=SECONDS), "digest"),
        (lambda stub: stub.GetCampaign(pb.GetCampaignRequest(name="/" * 2**24), timeout=SECONDS), "name"),
        (
            lambda stub: stub.GetAttack(pb.GetAttackRequest(name="campaigns/" + "\U0001f600" * 2**20)),
            "name",
        ),
        (
            lambda stub: next(
                stub.WatchCampaign(
                    pb.WatchCampaignRequest(name="campaigns/none", after_sequence=MAX_SEQUENCE + 1)
                )
            ),
            "after_sequence",
        ),
    ],
    ids=["title", "image's name", "segmenter", "hints", "digest", "slashes", "smiles", "sequence"],
)
def test_by_field(services: Services, call: Callable[[Any], Any], field: str) -> None:
    channel = grpc.insecure_channel(services.orchestrator.address)
    with channel, pytest.raises(grpc.RpcError) as refused:
        call(pb_grpc.AttackServiceStub(channel))
    error = from_rpc_error(refused.value)
    assert isinstance(error, InvalidArgumentError)
    assert error.field == field


async def test_a_server_that_ends_unasked_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As grpcio 1.84's does at a path that is not UTF-8: a process that only seems to live is no use."""
    monkeypatch.setattr(server_module, "END_CHECK_SECONDS", 0.1)
    begun: list[grpc.aio.Server] = []
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def add(server: grpc.aio.Server) -> list[str]:
        begun.append(server)
        return []

    serving = asyncio.create_task(
        serve(listen="127.0.0.1:0", add_servicers=add, on_listening=listening.set_result)
    )
    await listening
    await begun[0].stop(None)
    with pytest.raises(ServerEndedError):
        await asyncio.wait_for(serving, 20)
