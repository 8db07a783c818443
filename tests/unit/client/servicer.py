"""A servicer that only forces faults and keeps books which the real one would not show on demand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_status import rpc_status

from pixelprobe.addresses import Addresses
from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.attack.v1 import campaign_pb2, result_pb2
from pixelprobe_api.image.v1 import image_pb2
from pixelprobe_services.common.errors import NotFoundError, ServiceError
from pixelprobe_services.common.status import to_status
from tests.unit.client.values import NAME

Context = grpc.ServicerContext


class FaultyServicer(pb_grpc.AttackServiceServicer):
    """Each fault in ``faults`` is raised once, in order, before any method answers."""

    def __init__(self) -> None:
        self.faults: list[ServiceError | grpc.StatusCode] = []
        self.calls: list[str] = []
        self.uploads: list[int] = []
        self.images: dict[str, image_pb2.Image] = {}
        self.request_ids: list[str] = []
        self.watched_after: list[int] = []
        self.streams: list[list[pb.WatchCampaignResponse | grpc.StatusCode]] = []
        self.campaign = campaign_pb2.Campaign(name=NAME, state=campaign_pb2.CAMPAIGN_STATE_RUNNING)
        self.campaign.progress.attacks_total = 1
        self.attacks: list[result_pb2.Attack] = []

    def _enter(self, name: str, context: Context) -> None:
        self.calls.append(name)
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, grpc.StatusCode):
                context.abort(fault, "forced")
            context.abort_with_status(rpc_status.to_status(to_status(fault)))

    def ListTargets(self, request: pb.ListTargetsRequest, context: Context) -> Any:
        self._enter("ListTargets", context)
        return pb.ListTargetsResponse(targets=[pb.Target(name="net", available=True, width=8, labels=["a"])])

    def CheckTarget(self, request: pb.CheckTargetRequest, context: Context) -> Any:
        self._enter("CheckTarget", context)
        finding = pb.TargetFinding
        return pb.CheckTargetResponse(
            target=pb.Target(name=request.name, labels=["a"]),
            findings=[finding(name="scores", verdict=finding.VERDICT_BAD, text="logits")],
            proposed_table="[targets.net]",
            queries_sent=2,
        )

    def UploadImages(self, request_iterator: Iterator[pb.UploadImagesRequest], context: Context) -> Any:
        images = [request.image for request in request_iterator]
        self._enter("UploadImages", context)
        self.uploads.append(len(images))
        return pb.UploadImagesResponse(digests=[hashlib.sha256(image.rgb).hexdigest() for image in images])

    def GetImage(self, request: pb.GetImageRequest, context: Context) -> Any:
        self._enter("GetImage", context)
        return pb.GetImageResponse(image=self.images[request.digest])

    def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Context) -> Any:
        self.request_ids.append(request.request_id)
        self._enter("CreateCampaign", context)
        return pb.CreateCampaignResponse(campaign=self.campaign)

    def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> Any:
        self._enter("GetCampaign", context)
        return pb.GetCampaignResponse(campaign=self.campaign)

    def CancelCampaign(self, request: pb.CancelCampaignRequest, context: Context) -> Any:
        self._enter("CancelCampaign", context)
        self.campaign.state = campaign_pb2.CAMPAIGN_STATE_CANCELLED
        self.campaign.progress.attacks_finished = 1
        return pb.CancelCampaignResponse(campaign=self.campaign)

    def ResumeCampaign(self, request: pb.ResumeCampaignRequest, context: Context) -> Any:
        self._enter("ResumeCampaign", context)
        return pb.ResumeCampaignResponse(campaign=self.campaign)

    def DeleteCampaign(self, request: pb.DeleteCampaignRequest, context: Context) -> Any:
        raise NotImplementedError

    def WatchCampaign(self, request: pb.WatchCampaignRequest, context: Context) -> Any:
        self.watched_after.append(request.after_sequence)
        self._enter("WatchCampaign", context)
        for item in self.streams.pop(0):
            if isinstance(item, grpc.StatusCode):
                context.abort(item, "forced")
            else:
                yield item

    def GetAttack(self, request: pb.GetAttackRequest, context: Context) -> Any:
        raise NotImplementedError

    def ListAttacks(self, request: pb.ListAttacksRequest, context: Context) -> Any:
        raise NotImplementedError

    def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Context) -> Any:
        raise NotImplementedError

    def ListResults(self, request: pb.ListResultsRequest, context: Context) -> Any:
        self._enter("ListResults", context)
        start = int(request.page_token or 0)
        page = self.attacks[start : start + 2]
        token = str(start + 2) if start + 2 < len(self.attacks) else ""
        return pb.ListResultsResponse(attacks=page, next_page_token=token)


class CampaignServicer(FaultyServicer):
    """Keeps campaigns by request id, in the order of creation; each look moves a running one on."""

    def __init__(self) -> None:
        self.caller = ""
        super().__init__()
        self.made: dict[str, campaign_pb2.Campaign] = {}
        self.resumed: list[str] = []
        self.steps = 0

    def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Context) -> Any:
        self._enter("CreateCampaign", context)
        name = f"campaigns/{len(self.made):03d}"
        made = campaign_pb2.Campaign(name=name, spec=request.spec, state=campaign_pb2.CAMPAIGN_STATE_PENDING)
        made.progress.attacks_total = 10
        return pb.CreateCampaignResponse(campaign=self.made.setdefault(request.request_id, made))

    def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Context) -> Any:
        """Two on a page, newest first."""
        start = int(request.page_token or 0)
        newest = [*self.made.values()][::-1]
        token = str(start + 2) if start + 2 < len(newest) else ""
        return pb.ListCampaignsResponse(
            campaigns=newest[start : start + 2], next_page_token=token, caller=self.caller
        )

    def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> Any:
        self._enter("GetCampaign", context)
        found = self._find(request.name, context)
        if found.state == campaign_pb2.CAMPAIGN_STATE_RUNNING:
            found.progress.attacks_finished += self.steps
            found.progress.queries_sent += 100 * self.steps
            if found.progress.attacks_finished >= found.progress.attacks_total:
                found.state = campaign_pb2.CAMPAIGN_STATE_SUCCEEDED
        return pb.GetCampaignResponse(campaign=found)

    def ResumeCampaign(self, request: pb.ResumeCampaignRequest, context: Context) -> Any:
        found = self._find(request.name, context)
        self.resumed.append(found.name)
        found.state = campaign_pb2.CAMPAIGN_STATE_RUNNING
        return pb.ResumeCampaignResponse(campaign=found)

    def DeleteCampaign(self, request: pb.DeleteCampaignRequest, context: Context) -> Any:
        gone = self._find(request.name, context)
        self.made = {key: made for key, made in self.made.items() if made is not gone}
        return pb.DeleteCampaignResponse()

    def _find(self, name: str, context: Context) -> campaign_pb2.Campaign:
        for made in self.made.values():
            if made.name == name:
                return made
        self.faults.append(NotFoundError(f"there is no campaign {name}"))
        self._enter("_find", context)
        raise AssertionError


@contextmanager
def serving(servicer: FaultyServicer) -> Iterator[Addresses]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    pb_grpc.add_AttackServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield Addresses(orchestrator=f"127.0.0.1:{port}", segmentation=f"127.0.0.1:{port}")
    finally:
        server.stop(None)
