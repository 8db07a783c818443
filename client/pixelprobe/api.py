"""The typed Python client of both services: plain values in and out, exceptions instead of statuses.

Every call has a deadline; calls that are safe to repeat are repeated a few times while a service is
unavailable. All errors are :class:`~pixelprobe_services.common.errors.ServiceError`; a service that does not
answer at all is :class:`pixelprobe.rpc.UnreachableError`.
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
CHANGE_SECONDS = 120.0
"""Creating, cancelling and resuming write a row for each attack; a campaign may have 100,000 of them."""

SEGMENT_SECONDS = 120.0
UPLOAD_SECONDS = 120.0
UPLOAD_BYTES = 48 * 2**20
"""About this much goes into one upload call, so that gRPC can still hold it for a retry."""

UPLOAD_IMAGES = 1000
"""No more than this go into one, however small they are; the server takes ten times as many."""

WATCH_SECONDS = 120.0
"""A watch is renewed after this long."""
WATCH_FAILURES = 6
"""So many reconnections in a row without a single event end a watch."""
WATCH_BACKOFF_SECONDS = 0.5

_PAGE_SIZE = 200
_RECONNECT_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class _Page(Protocol):
    @property
    def next_page_token(self) -> str: ...


PageType = TypeVar("PageType", bound=_Page)


class PixelprobeClient:
    """Both services. Connects on the first call; use it as a context manager, or call :meth:`close`."""

    def __init__(self, addresses: Addresses, peer: Peer = PLAIN) -> None:
        """Raises PeerError where ``peer``'s token would travel unencrypted to another machine."""
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
        """Give the connections back. Idempotent."""
        self._attack_channel.close()
        self._segmentation_channel.close()

    # Targets and images

    def list_targets(self) -> list[model.Target]:
        """The targets that may be attacked, available or not."""
        with self._orchestrator_errors():
            response = self._attacks.ListTargets(attack_pb2.ListTargetsRequest(), timeout=CALL_SECONDS)
        return [convert.target(message) for message in response.targets]

    def orchestrator_version(self) -> str:
        """The version of the orchestrator; empty if it is older than this question."""
        with self._orchestrator_errors():
            response = self._attacks.ListTargets(attack_pb2.ListTargetsRequest(), timeout=CALL_SECONDS)
        return str(response.orchestrator_version)

    def upload_images(self, images: Iterable[NDArray[np.uint8]]) -> list[str]:
        """Store images, each (height, width, 3) uint8 RGB; of an iterator only one call's are held at once.

        Returns:
            Their SHA-256 digests, in order.

        Raises:
            InvalidArgumentError: an image is no such array, or a side is over 4096 pixels.
        """
        digests: list[str] = []
        for chunk in _chunks(images, UPLOAD_BYTES):
            requests = [attack_pb2.UploadImagesRequest(image=from_array(image)) for image in chunk]
            with self._orchestrator_errors():
                response = self._attacks.UploadImages(iter(requests), timeout=UPLOAD_SECONDS)
            digests.extend(response.digests)
        return digests

    def get_image(self, digest: str) -> NDArray[np.uint8]:
        """A stored image, (height, width, 3) uint8 RGB and read-only; NotFoundError if there is none."""
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
            InvalidArgumentError: the spec is off; ``field`` names where.
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
        """The campaign as it is now; NotFoundError if there is none of that name."""
        request = attack_pb2.GetCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.GetCampaign(request, timeout=CALL_SECONDS).campaign)

    def get_campaign_spec(self, name: str) -> model.CampaignSpec:
        """What a campaign was asked to do, images included; NotFoundError if there is none of that name."""
        request = attack_pb2.GetCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.spec_of(self._attacks.GetCampaign(request, timeout=CALL_SECONDS).campaign.spec)

    def list_campaigns(self) -> Iterator[model.Campaign]:
        """All campaigns, newest first, fetched page by page."""

        def page(token: str) -> attack_pb2.ListCampaignsResponse:
            request = attack_pb2.ListCampaignsRequest(page_size=_PAGE_SIZE, page_token=token)
            return self._attacks.ListCampaigns(request, timeout=CALL_SECONDS)

        for response in self._pages(page):
            yield from map(convert.campaign, response.campaigns)

    def cancel_campaign(self, name: str) -> model.Campaign:
        """End a campaign; attacks under way finish as cancelled. Cancelling twice is harmless."""
        request = attack_pb2.CancelCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.CancelCampaign(request, timeout=CHANGE_SECONDS).campaign)

    def resume_campaign(self, name: str) -> model.Campaign:
        """Take a paused or cancelled campaign up again; FailedPreconditionError in any other state."""
        request = attack_pb2.ResumeCampaignRequest(name=name)
        with self._orchestrator_errors():
            return convert.campaign(self._attacks.ResumeCampaign(request, timeout=CHANGE_SECONDS).campaign)

    def watch_campaign(self, name: str, after_sequence: int = 0) -> Iterator[model.Event]:
        """What happens, as it happens, until the campaign ends.

        Reconnects by itself where it was, up to WATCH_FAILURES times in a row.

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
        """One attack; NotFoundError if there is none of that name."""
        request = attack_pb2.GetAttackRequest(name=name)
        with self._orchestrator_errors():
            return convert.attack(self._attacks.GetAttack(request, timeout=CALL_SECONDS).attack)

    def list_attacks(self, campaign: str) -> Iterator[model.Attack]:
        """All attacks of a campaign in the spec's order, fetched page by page."""

        def page(token: str) -> attack_pb2.ListAttacksResponse:
            request = attack_pb2.ListAttacksRequest(parent=campaign, page_size=_PAGE_SIZE, page_token=token)
            return self._attacks.ListAttacks(request, timeout=CALL_SECONDS)

        for response in self._pages(page):
            yield from map(convert.attack, response.attacks)

    def list_results(self, campaign: str) -> Iterator[model.Attack]:
        """The finished attacks of a campaign in the spec's order, fetched page by page."""

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
        """The methods that the segmentation service knows."""
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
            hints: what a person drew, for GrabCut; not together with ``threshold``.
            threshold: a pixel is foreground where its saliency exceeds this, in (0, 1), for U2-Net.
            saliency: ask for the saliency map as well.

        Raises:
            InvalidArgumentError: the image, the hints or the method are off.
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
