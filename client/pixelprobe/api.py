"""Typed Python client of both services: values in and out, exceptions instead of statuses.

Every call has a deadline; idempotent calls are retried a few times while a service is unavailable. All errors
are :class:`~pixelprobe_services.common.errors.ServiceError`; a service that does not
answer is :class:`pixelprobe.rpc.UnreachableError`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray

from pixelprobe import convert, masks, model
from pixelprobe.addresses import Addresses
from pixelprobe.rpc import mapped_errors, open_channel, to_exception
from pixelprobe_api.attack.v1 import attack_service_pb2 as attack_pb2
from pixelprobe_api.attack.v1 import load_test_service_pb2 as load_pb2
from pixelprobe_api.attack.v1.attack_service_pb2_grpc import AttackServiceStub
from pixelprobe_api.attack.v1.load_test_service_pb2_grpc import LoadTestServiceStub
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as segmentation_pb2
from pixelprobe_api.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub
from pixelprobe_services.common.images import from_array, to_array
from pixelprobe_services.common.peers import PLAIN, Peer
from pixelprobe_services.common.wire import spec_to_pb

CALL_SECONDS = 30.0
CHECK_SECONDS = 600.0
CHANGE_SECONDS = 120.0
"""Of calls that write a row for each attack of a campaign."""

SEGMENT_SECONDS = 120.0
UPLOAD_SECONDS = 120.0
UPLOAD_BYTES = 48 * 2**20
"""Most bytes in one upload call; gRPC must buffer them for a retry."""

UPLOAD_IMAGES = 1000
"""Most images in one upload call; the server accepts ten times as many."""

WATCH_SECONDS = 120.0
"""Duration after which a watch is renewed."""
WATCH_FAILURES = 6
"""Consecutive reconnections without an event after which a watch fails."""
WATCH_BACKOFF_SECONDS = 0.5

_PAGE_SIZE = 200
_RECONNECT_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


PageType = TypeVar("PageType", bound=_Page)


class PixelprobeClient:
    """Client of both services. It connects on the first call; threads may share it.

    Example::

        with PixelprobeClient(find_addresses()) as client:
            (digest,) = client.upload_images([pixels])
            spec = CampaignSpec(images=(CampaignImage(digest),), targets=("vgg16_cifar10",))
            name = client.create_campaign(spec).name
            for event in client.watch_campaign(name):
                print(event)
            results = list(client.list_results(name))
    """

    def __init__(self, addresses: Addresses, peer: Peer = PLAIN) -> None:
        """Raise PeerError if ``peer``'s token would be sent unencrypted to another machine."""
        self.addresses = addresses
        self._peer = peer
        self._attack_channel = open_channel(addresses.orchestrator, peer)
        self._segmentation_channel = open_channel(addresses.segmentation, peer)
        self._attacks = AttackServiceStub(self._attack_channel)
        self._segmentation = SegmentationServiceStub(self._segmentation_channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; idempotent."""
        self._attack_channel.close()
        self._segmentation_channel.close()

    # Targets and images

    def list_targets(self) -> list[model.Target]:
        """Return all targets, available or not."""
        with self._orchestrator_errors():
            response = self._attacks.ListTargets(attack_pb2.ListTargetsRequest(), timeout=CALL_SECONDS)
        return [convert.target(message) for message in response.targets]

    def check_target(self, name: str, sample: NDArray[np.uint8]) -> model.TargetCheck:
        """Have the orchestrator connect to a target and send it an image a few times.

        What is wrong with the target is in the answer; ``sample``, (height, width, 3) uint8 RGB, may have any
        size.

        Raises:
            NotFoundError: no target of that name.
        """
        request = attack_pb2.CheckTargetRequest(name=name, sample=from_array(sample))
        with self._orchestrator_errors():
            return convert.target_check(self._attacks.CheckTarget(request, timeout=CHECK_SECONDS))

    def orchestrator_version(self) -> str:
        """Return the orchestrator's version; empty if it is too old to report it."""
        with self._orchestrator_errors():
            response = self._attacks.ListTargets(attack_pb2.ListTargetsRequest(), timeout=CALL_SECONDS)
        return str(response.orchestrator_version)

    def upload_images(self, images: Iterable[NDArray[np.uint8]]) -> list[str]:
        """Store images, each (height, width, 3) uint8 RGB; an iterator is consumed call by call.

        Returns:
            Their SHA-256 digests, in order.

        Raises:
            InvalidArgumentError: an image has another shape or dtype, or a side over 4096 pixels.
        """
        digests: list[str] = []
        for chunk in _chunks(images, UPLOAD_BYTES):
            requests = [attack_pb2.UploadImagesRequest(image=from_array(image)) for image in chunk]
            with self._orchestrator_errors():
                response = self._attacks.UploadImages(iter(requests), timeout=UPLOAD_SECONDS)
            digests.extend(response.digests)
        return digests

    def get_image(self, digest: str) -> NDArray[np.uint8]:
        """Return a stored image, (height, width, 3) uint8 RGB, read-only; NotFoundError if there is none."""
        request = attack_pb2.GetImageRequest(digest=digest)
        with self._orchestrator_errors():
            return to_array(self._attacks.GetImage(request, timeout=CALL_SECONDS).image)

    # Campaigns

    def create_campaign(self, spec: model.CampaignSpec, request_id: str | None = None) -> model.Campaign:
        """Start a campaign.

        Args:
            spec: what to attack, and how.
            request_id: calls with the same one make one campaign; by default a fresh one, so that a call
                repeated after a lost answer does no harm.

        Raises:
            InvalidArgumentError: the spec is invalid; ``field`` is the path of the field at fault.
            NotFoundError: an unknown target, or an image that was not uploaded.
            AlreadyExistsError: the request id belongs to another spec.
        """
        request = attack_pb2.CreateCampaignRequest(
            spec=spec_to_pb(spec), request_id=request_id or uuid.uuid4().hex
        )
        with self._orchestrator_errors():
            response = self._attacks.CreateCampaign(request, timeout=CHANGE_SECONDS)
        return convert.campaign(response.campaign)

    def get_campaign(self, name: str) -> model.Campaign:
        """Return a campaign in its present state; NotFoundError if there is none of that name."""
        request = attack_pb2.GetCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.GetCampaign(request, timeout=CALL_SECONDS).campaign)

    def get_campaign_spec(self, name: str) -> model.CampaignSpec:
        """Return a campaign's spec, images included; NotFoundError if there is none of that name."""
        request = attack_pb2.GetCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.spec_of(self._attacks.GetCampaign(request, timeout=CALL_SECONDS).campaign.spec)

    def list_campaigns(self, *, own: bool = False) -> Iterator[model.Campaign]:
        """Yield campaigns, newest first, fetched page by page; with ``own`` only the calling client's."""

        def page(token: str) -> attack_pb2.ListCampaignsResponse:
            request = attack_pb2.ListCampaignsRequest(page_size=_PAGE_SIZE, page_token=token, mine=own)
            return self._attacks.ListCampaigns(request, timeout=CALL_SECONDS)

        for response in self._pages(page):
            for message in response.campaigns:
                if not own or message.owner == response.caller:
                    yield convert.campaign(message)

    def cancel_campaign(self, name: str) -> model.Campaign:
        """Cancel a campaign; running attacks finish as cancelled. Idempotent."""
        request = attack_pb2.CancelCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.CancelCampaign(request, timeout=CHANGE_SECONDS).campaign)

    def resume_campaign(self, name: str) -> model.Campaign:
        """Resume a paused or cancelled campaign; FailedPreconditionError in any other state."""
        request = attack_pb2.ResumeCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.ResumeCampaign(request, timeout=CHANGE_SECONDS).campaign)

    def delete_campaign(self, name: str) -> None:
        """Remove an ended campaign with its results, for good.

        Raises:
            FailedPreconditionError: it has not ended; cancel it first.
            NotFoundError: there is none of that name.
            PermissionDeniedError: it belongs to another client.
        """
        request = attack_pb2.DeleteCampaignRequest(name=name)
        with self._orchestrator_errors():
            self._attacks.DeleteCampaign(request, timeout=CHANGE_SECONDS)

    def watch_campaign(self, name: str, after_sequence: int = 0) -> Iterator[model.Event]:
        """Yield events as they happen, until the campaign ends.

        A lost connection is renewed after the last event, up to WATCH_FAILURES times in a row.

        Raises:
            UnavailableError: the connection was lost for good, or nothing at all happened for too long.
            NotFoundError: no such campaign (any more).
        """
        failures = 0
        while True:
            request = attack_pb2.WatchCampaignRequest(name=name, after_sequence=after_sequence)
            stream = self._attacks.WatchCampaign(request, timeout=WATCH_SECONDS)
            try:
                for response in stream:
                    failures = 0
                    after_sequence = max(after_sequence, response.sequence)
                    event = convert.event(response)
                    if event is not None:
                        yield event
                return
            except grpc.RpcError as error:
                failures += 1
                code = error.code() if isinstance(error, grpc.Call) else None
                if code not in _RECONNECT_CODES or failures > WATCH_FAILURES:
                    raise to_exception(
                        error, "orchestrator", self.addresses.orchestrator, self._peer
                    ) from error
            finally:
                stream.cancel()
            time.sleep(WATCH_BACKOFF_SECONDS * failures)

    # Attacks

    def get_attack(self, name: str) -> model.Attack:
        """Return an attack; NotFoundError if there is none of that name."""
        request = attack_pb2.GetAttackRequest(name=name)
        with self._orchestrator_errors():
            return convert.attack(self._attacks.GetAttack(request, timeout=CALL_SECONDS).attack)

    def list_attacks(self, campaign: str) -> Iterator[model.Attack]:
        """Yield all attacks of a campaign in the spec's order, fetched page by page."""

        def page(token: str) -> attack_pb2.ListAttacksResponse:
            request = attack_pb2.ListAttacksRequest(parent=campaign, page_size=_PAGE_SIZE, page_token=token)
            return self._attacks.ListAttacks(request, timeout=CALL_SECONDS)

        for response in self._pages(page):
            yield from map(convert.attack, response.attacks)

    def list_results(self, campaign: str) -> Iterator[model.Attack]:
        """Yield the finished attacks of a campaign in the spec's order, fetched page by page."""

        def page(token: str) -> attack_pb2.ListResultsResponse:
            request = attack_pb2.ListResultsRequest(parent=campaign, page_size=_PAGE_SIZE, page_token=token)
            return self._attacks.ListResults(request, timeout=CALL_SECONDS)

        for response in self._pages(page):
            yield from map(convert.attack, response.attacks)

    # Load tests

    def stream_load_test(
        self, request: load_pb2.RunLoadTestRequest, seconds: float
    ) -> Iterator[load_pb2.RunLoadTestResponse]:
        """Run a load test for at most ``seconds``; closing it cancels it. See :mod:`pixelprobe.load.run`."""
        with self._orchestrator_errors():
            stream = LoadTestServiceStub(self._attack_channel).RunLoadTest(request, timeout=seconds)
            try:
                yield from stream
            finally:
                stream.cancel()

    # Segmentation

    def list_segmenters(self) -> list[masks.Segmenter]:
        """Return the methods of the segmentation service."""
        request = segmentation_pb2.ListSegmentersRequest()
        with self._segmentation_errors():
            response = self._segmentation.ListSegmenters(request, timeout=CALL_SECONDS)
        return [convert.segmenter(message) for message in response.segmenters]

    def segment(
        self,
        pixels: NDArray[np.uint8],
        segmenter: str = "",
        hints: masks.GrabCutOptions | None = None,
        *,
        threshold: float | None = None,
        saliency: bool = False,
    ) -> masks.Segmentation:
        """Split an image, (height, width, 3) uint8 RGB, into foreground and background.

        Args:
            pixels: the image.
            segmenter: id of a method; "" lets the service choose.
            hints: for GrabCut; not together with ``threshold``.
            threshold: a pixel is foreground where its saliency exceeds this, in (0, 1), for U2-Net.
            saliency: also return the saliency map.

        Raises:
            InvalidArgumentError: the image, the hints or the method are invalid.
            FailedPreconditionError: the method cannot run on that server.
        """
        request = convert.segment_request(pixels, segmenter, hints, threshold, saliency)
        with self._segmentation_errors():
            return convert.segmentation(self._segmentation.Segment(request, timeout=SEGMENT_SECONDS))

    def _pages(self, fetch: Callable[[str], PageType]) -> Iterator[PageType]:
        token = ""
        while True:
            with self._orchestrator_errors():
                response = fetch(token)
            yield response
            token = response.next_page_token
            if not token:
                return

    def _orchestrator_errors(self) -> AbstractContextManager[None]:
        return mapped_errors("orchestrator", self.addresses.orchestrator, self._peer)

    def _segmentation_errors(self) -> AbstractContextManager[None]:
        return mapped_errors("segmentation", self.addresses.segmentation, self._peer)


def _chunks(images: Iterable[NDArray[np.uint8]], most_bytes: int) -> Iterator[list[NDArray[np.uint8]]]:
    chunk: list[NDArray[np.uint8]] = []
    size = 0
    for image in images:
        if chunk and (size + image.nbytes > most_bytes or len(chunk) == UPLOAD_IMAGES):
            yield chunk
            chunk, size = [], 0
        chunk.append(image)
        size += image.nbytes
    if chunk:
        yield chunk
