"""AttackService over gRPC: validates, calls, converts. The interceptor turns exceptions into statuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any

import grpc

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_services.common.errors import InvalidArgumentError, ServiceError
from pixelprobe_services.common.images import from_array, to_array
from pixelprobe_services.common.values import CampaignState, image_digest
from pixelprobe_services.common.version import own_version
from pixelprobe_services.common.wire import CAMPAIGN_STATES, checked_digest, spec_from_pb
from pixelprobe_services.orchestrator import convert
from pixelprobe_services.orchestrator.attacks.run import Progress
from pixelprobe_services.orchestrator.campaigns.manager import CampaignManager
from pixelprobe_services.orchestrator.campaigns.watching import Shown
from pixelprobe_services.orchestrator.store.base import (
    AttackId,
    CampaignRecord,
    CampaignSummary,
    Event,
    Store,
)
from pixelprobe_services.orchestrator.targets.checking import check_target
from pixelprobe_services.orchestrator.targets.registry import Registry
from pixelprobe_services.server.caller import caller, check_owner

MAX_PAGE = 1000
MAX_PAGE_BYTES = 16 * 2**20
"""A page ends early beyond this: the histories of a thousand long searches exceed a message."""
MAX_IMAGES_A_CALL = 10_000
IMAGES_AT_ONCE = 64
"""Stored together: a durable store shares one flush among them."""
BYTES_AT_ONCE = 16 * 2**20
"""Stored together at most, the last image not counted: 64 of the largest would be 3 GiB."""
MAX_REQUEST_ID = 128
MAX_SEQUENCE = 2**63 - 1
"""The largest integer of the databases."""
DESCRIBE_SECONDS = 5.0

Context = grpc.aio.ServicerContext[Any, Any]


class AttackServicer(pb_grpc.AttackServiceServicer):
    """Implements all RPCs of AttackService."""

    def __init__(self, store: Store, campaigns: CampaignManager, registry: Registry) -> None:
        self._store = store
        self._campaigns = campaigns
        self._registry = registry

    async def ListTargets(self, request: pb.ListTargetsRequest, context: Context) -> pb.ListTargetsResponse:
        described = await asyncio.gather(*(self._describe(name) for name in self._registry.names()))
        return pb.ListTargetsResponse(targets=described, orchestrator_version=own_version())

    async def CheckTarget(self, request: pb.CheckTargetRequest, context: Context) -> pb.CheckTargetResponse:
        config = self._registry.config(request.name)
        sample = to_array(request.sample, field="sample")
        report = await check_target(config, sample)
        return convert.check_to_pb(request.name, report)

    async def UploadImages(
        self, request_iterator: AsyncIterator[pb.UploadImagesRequest], context: Context
    ) -> pb.UploadImagesResponse:
        digests: list[str] = []
        puts: list[Awaitable[None]] = []
        held = 0
        async for request in request_iterator:
            if len(digests) == MAX_IMAGES_A_CALL:
                raise InvalidArgumentError("image", f"more than {MAX_IMAGES_A_CALL} images in one call")
            image = to_array(request.image, field=f"image[{len(digests)}]")
            digests.append(image_digest(image))
            puts.append(self._store.put_image(digests[-1], image))
            held += image.nbytes
            if len(puts) == IMAGES_AT_ONCE or held >= BYTES_AT_ONCE:
                await asyncio.gather(*puts)
                puts.clear()
                held = 0
        await asyncio.gather(*puts)
        return pb.UploadImagesResponse(digests=digests)

    async def GetImage(self, request: pb.GetImageRequest, context: Context) -> pb.GetImageResponse:
        image = await self._store.get_image(checked_digest(request.digest, "digest"))
        return pb.GetImageResponse(image=from_array(image))

    async def CreateCampaign(
        self, request: pb.CreateCampaignRequest, context: Context
    ) -> pb.CreateCampaignResponse:
        if len(request.request_id) > MAX_REQUEST_ID:
            raise InvalidArgumentError("request_id", f"is longer than {MAX_REQUEST_ID} characters")
        spec = spec_from_pb(request.spec)
        record = await self._campaigns.create(spec, request.request_id, caller.get().name)
        return pb.CreateCampaignResponse(campaign=await self._campaign(record))

    async def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> pb.GetCampaignResponse:
        record = await self._store.get_campaign(convert.parse_campaign_name(request.name))
        return pb.GetCampaignResponse(campaign=await self._campaign(record))

    async def ListCampaigns(
        self, request: pb.ListCampaignsRequest, context: Context
    ) -> pb.ListCampaignsResponse:
        size = _page_size(request.page_size, default=50)
        owner = caller.get().name if request.mine else None
        records = await self._store.list_campaigns(size + 1, request.page_token, owner=owner)
        progress = await self._store.progress_of([record.id for record in records[:size]])
        campaigns = [
            convert.campaign_to_pb(self._campaigns.as_seen(record), progress[record.id])
            for record in records[:size]
            if record.id in progress  # not deleted meanwhile
        ]
        more = records[size - 1].id if len(records) > size else ""
        return pb.ListCampaignsResponse(campaigns=campaigns, next_page_token=more, caller=caller.get().name)

    async def CancelCampaign(
        self, request: pb.CancelCampaignRequest, context: Context
    ) -> pb.CancelCampaignResponse:
        record = await self._campaigns.cancel(await self._own(request.name))
        return pb.CancelCampaignResponse(campaign=await self._campaign(record))

    async def ResumeCampaign(
        self, request: pb.ResumeCampaignRequest, context: Context
    ) -> pb.ResumeCampaignResponse:
        record = await self._campaigns.resume(await self._own(request.name))
        return pb.ResumeCampaignResponse(campaign=await self._campaign(record))

    async def DeleteCampaign(
        self, request: pb.DeleteCampaignRequest, context: Context
    ) -> pb.DeleteCampaignResponse:
        await self._store.delete_campaign(await self._own(request.name))
        return pb.DeleteCampaignResponse()

    async def WatchCampaign(
        self, request: pb.WatchCampaignRequest, context: Context
    ) -> AsyncIterator[pb.WatchCampaignResponse]:
        campaign_id = convert.parse_campaign_name(request.name)
        if request.after_sequence > MAX_SEQUENCE:
            raise InvalidArgumentError("after_sequence", f"{request.after_sequence} is over {MAX_SEQUENCE}")
        async for sequence, item in self._campaigns.watch(campaign_id, request.after_sequence):
            match item:
                case Event():
                    read = partial(self._event_to_pb, campaign_id, item)
                    yield await self._campaigns.read_once(campaign_id, item, read)
                case Shown():
                    read = partial(self._shown_to_pb, campaign_id, sequence)
                    yield await self._campaigns.read_once(campaign_id, (sequence, item), read)
                case _:
                    yield _progress_to_pb(sequence, *item)

    async def GetAttack(self, request: pb.GetAttackRequest, context: Context) -> pb.GetAttackResponse:
        record = await self._store.get_attack(convert.parse_attack_name(request.name))
        return pb.GetAttackResponse(attack=convert.attack_to_pb(record))

    async def ListAttacks(self, request: pb.ListAttacksRequest, context: Context) -> pb.ListAttacksResponse:
        attacks, token = await self._attacks(request, finished_only=False)
        return pb.ListAttacksResponse(attacks=attacks, next_page_token=token)

    async def ListResults(self, request: pb.ListResultsRequest, context: Context) -> pb.ListResultsResponse:
        attacks, token = await self._attacks(request, finished_only=True)
        return pb.ListResultsResponse(attacks=attacks, next_page_token=token)

    async def _attacks(
        self, request: pb.ListAttacksRequest | pb.ListResultsRequest, *, finished_only: bool
    ) -> tuple[list[Any], str]:
        campaign_id = convert.parse_campaign_name(request.parent, "parent")
        size = _page_size(request.page_size, default=100)
        records = await self._store.list_attacks(
            campaign_id,
            start=_page_start(request.page_token),
            limit=size + 1,
            finished_only=finished_only,
        )
        attacks: list[Any] = []
        held = 0
        for record in records[:size]:
            attacks.append(convert.attack_to_pb(record))
            held += attacks[-1].ByteSize()
            if held >= MAX_PAGE_BYTES:
                break
        more = str(records[len(attacks)].id.number) if len(records) > len(attacks) else ""
        return attacks, more

    async def _own(self, name: str) -> str:
        """Return the id of a campaign that the caller may change."""
        campaign_id = convert.parse_campaign_name(name)
        check_owner((await self._store.get_summary(campaign_id)).owner, name)
        return campaign_id

    async def _campaign(self, record: CampaignRecord | CampaignSummary) -> Any:
        progress = await self._store.progress(record.id)
        return convert.campaign_to_pb(self._campaigns.as_seen(record), progress)

    async def _event_to_pb(self, campaign_id: str, event: Event) -> pb.WatchCampaignResponse:
        """Return the message of a lasting event."""
        if event.attack_number is not None:
            finished = await self._store.get_attack(AttackId(campaign_id, event.attack_number))
            return pb.WatchCampaignResponse(sequence=event.sequence, finished=convert.attack_to_pb(finished))
        campaign = await self._campaign(await self._store.get_summary(campaign_id))
        if event.campaign_state is not None:  # as it was then, which may have changed since
            campaign.state = CAMPAIGN_STATES.to_pb(event.campaign_state)
            if event.campaign_state is not CampaignState.PAUSED:
                campaign.state_reason = ""
            campaign.waits = False
        return pb.WatchCampaignResponse(sequence=event.sequence, campaign=campaign)

    async def _shown_to_pb(self, campaign_id: str, sequence: int) -> pb.WatchCampaignResponse:
        """Return the message of a change in what the campaign waits for: the campaign as it is now."""
        campaign = await self._campaign(await self._store.get_summary(campaign_id))
        return pb.WatchCampaignResponse(sequence=sequence, campaign=campaign)

    async def _describe(self, name: str) -> pb.Target:
        try:
            async with asyncio.timeout(DESCRIBE_SECONDS):
                info = await self._registry.get(name).check()
        except (ServiceError, TimeoutError) as error:
            reason = (
                f"no answer within {DESCRIBE_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
            )
            return pb.Target(name=name, available=False, unavailable_reason=reason)
        return convert.target_to_pb(info)


def _progress_to_pb(sequence: int, attack: AttackId, progress: Progress) -> pb.WatchCampaignResponse:
    return pb.WatchCampaignResponse(
        sequence=sequence,
        progress=pb.AttackProgress(
            attack=convert.attack_name(attack),
            generation=progress.generation,
            best_fitness=progress.best_fitness,
            queries_sent=progress.ledger.sent,
            queries_answered=progress.ledger.answered or 0,
            queries_timed_out=progress.ledger.timed_out,
            queries_rejected=progress.ledger.rejected,
            retries=progress.ledger.retries,
            waiting_for=progress.waiting_for,
        ),
    )


def _page_size(asked: int, *, default: int) -> int:
    if not 0 <= asked <= MAX_PAGE:
        raise InvalidArgumentError("page_size", f"{asked} is not in 1 to {MAX_PAGE}")
    return asked or default


def _page_start(token: str) -> int:
    if token and not (token.isascii() and token.isdigit() and len(token) < 10):
        raise InvalidArgumentError("page_token", "was not returned by this service")
    return int(token or 0)
