"""A servicer with several campaigns whose results are made up."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import campaign_pb2, result_pb2
from pixelprobe_services.common.images import from_array, mask_from_array
from tests.unit.client.servicer import FaultyServicer

PIXELS = np.full((4, 4, 3), 7, dtype=np.uint8)
MASK = np.eye(4, dtype=np.bool_)
REGIONS = (campaign_pb2.REGION_WHOLE, campaign_pb2.REGION_FOREGROUND, campaign_pb2.REGION_BACKGROUND)


class Campaigns(FaultyServicer):
    """Several campaigns on one image of digest "dd...d": one pixel, untargeted, three regions."""

    def __init__(self) -> None:
        super().__init__()
        self.images = {"d" * 64: from_array(PIXELS)}
        self.campaigns: dict[str, campaign_pb2.Campaign] = {}
        self.results: dict[str, list[result_pb2.Attack]] = {}
        self.targets = [pb.Target(name="net", available=True, classes=3, labels=["cat", "dog", "frog"])]

    def add(
        self,
        campaign: str,
        target: str = "net",
        early_stop: bool = True,
        generations: int = 1,
        reached: int = 1,
    ) -> None:
        """A campaign whose attacks all succeed."""
        spec = campaign_pb2.CampaignSpec(
            display_name=campaign,
            images=[campaign_pb2.CampaignImage(digest="d" * 64, display_name="a cat", label=0)],
            targets=[target],
            regions=REGIONS,
            pixel_counts=[1],
            goals=[campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted())],
            search=campaign_pb2.SearchSettings(
                strategy=campaign_pb2.STRATEGY_RAND1BIN,
                region_mode=campaign_pb2.REGION_MODE_COMPOSITE,
                no_early_stop=not early_stop,
            ),
        )
        name = f"campaigns/{campaign}"
        self.campaigns[name] = campaign_pb2.Campaign(
            name=name, spec=spec, state=campaign_pb2.CAMPAIGN_STATE_SUCCEEDED
        )
        self.results[name] = [
            result_pb2.Attack(
                name=f"{name}/attacks/{number}",
                target=target,
                region=region,
                pixels=1,
                goal=spec.goals[0],
                state=result_pb2.ATTACK_STATE_FINISHED,
                result=result_pb2.AttackResult(
                    outcome=result_pb2.OUTCOME_SUCCESS,
                    clean_top=[result_pb2.ClassScore(class_index=0, probability=0.75)],
                    best_top=[result_pb2.ClassScore(class_index=reached, probability=0.5)],
                    edits=[result_pb2.Edit(x=number, y=1, red=255)],
                    generations=generations,
                    fitness_by_generation=[0.5] * generations,
                    mask=mask_from_array(MASK),
                ),
            )
            for number, region in enumerate(REGIONS)
        ]

    def ListTargets(self, request: pb.ListTargetsRequest, context: Any) -> Any:
        return pb.ListTargetsResponse(targets=self.targets)

    def CheckTarget(self, request: pb.CheckTargetRequest, context: Any) -> Any:
        raise NotImplementedError

    def GetCampaign(self, request: pb.GetCampaignRequest, context: Any) -> Any:
        return pb.GetCampaignResponse(campaign=self.campaigns[request.name])

    def ListResults(self, request: pb.ListResultsRequest, context: Any) -> Any:
        self.attacks = self.results[request.parent]
        return super().ListResults(request, context)

    def GetAttack(self, request: pb.GetAttackRequest, context: Any) -> Any:
        parent, _, number = request.name.partition("/attacks/")
        return pb.GetAttackResponse(attack=self.results[parent][int(number)])

    def GetImage(self, request: pb.GetImageRequest, context: Any) -> Any:
        if request.digest not in self.images:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        return pb.GetImageResponse(image=self.images[request.digest])
