"""Masks from the segmentation service, each made once for all attacks that need it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

import grpc

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc
from pixelprobe_services.common import tracing
from pixelprobe_services.common.errors import ServiceError, UnavailableError
from pixelprobe_services.common.images import from_array, mask_to_array
from pixelprobe_services.common.peers import PLAIN, Peer
from pixelprobe_services.common.retry import RetryPolicy
from pixelprobe_services.common.spec import MaskSettings
from pixelprobe_services.common.status import from_rpc_error
from pixelprobe_services.common.values import MaskArray, Pixels
from pixelprobe_services.orchestrator.timing import Timing

DEADLINE_SECONDS = 60.0
CACHED_MASKS = 1024
RETRIED_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,  # too many images are waiting there
    }
)


class MaskError(ServiceError):
    """The segmentation service gave no mask; the message says why."""

    reason = "SEGMENTATION_FAILED"


class MaskUnavailableError(UnavailableError, MaskError):
    """The segmentation service was out of reach or did not answer in time; a retry is safe."""

    reason = "SEGMENTATION_UNAVAILABLE"


@dataclass(frozen=True, eq=False)
class MadeMask:
    """A mask, (height, width) bool; ``review_reason`` is empty unless a person should review it."""

    mask: MaskArray
    review_reason: str


class MaskSource:
    """Client of the segmentation service at ``address``; safe for many tasks of one event loop.

    >>> masks = MaskSource("127.0.0.1:50061")
    >>> made = await masks.mask_for(image, digest, MaskSettings())
    """

    def __init__(self, address: str, retry: RetryPolicy | None = None, peer: Peer = PLAIN) -> None:
        self._address = address
        self._retry = retry or Timing().mask_retry
        self._metadata = peer.metadata
        credentials = peer.credentials(address)
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        self._channel = (
            grpc.aio.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.aio.insecure_channel(address, options=options)
        )
        self._stub = pb_grpc.SegmentationServiceStub(self._channel)
        self._made: OrderedDict[tuple[str, MaskSettings], asyncio.Task[MadeMask]] = OrderedDict()

    async def mask_for(self, image: Pixels, digest: str, settings: MaskSettings) -> MadeMask:
        """Return the mask of an image; requested once, kept for later attacks.

        Raises:
            MaskError: refused.
            MaskUnavailableError: no answer through all attempts.
        """
        key = (digest, settings)
        task = self._made.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._make(image, settings))
            self._made[key] = task
            if len(self._made) > CACHED_MASKS:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        return await asyncio.shield(task)  # one attack's cancellation must not take the others' mask

    async def close(self) -> None:
        """Close the connection. Idempotent."""
        for task in self._made.values():
            task.cancel()
        await self._channel.close()

    async def _make(self, image: Pixels, settings: MaskSettings) -> MadeMask:
        request = pb.SegmentRequest.FromString(settings.hints)
        request.segmenter = settings.segmenter
        request.image.CopyFrom(from_array(image))
        pauses = self._retry.pauses()
        while True:
            try:
                with tracing.part("mask request", tracing.Kind.CLIENT):
                    response = await self._stub.Segment(
                        request, timeout=DEADLINE_SECONDS, metadata=(*self._metadata, *tracing.carried())
                    )
            except grpc.aio.AioRpcError as error:
                passing = error.code() in RETRIED_CODES
                pause = next(pauses, None) if passing else None
                if pause is None:
                    kind = MaskUnavailableError if passing else MaskError
                    message = from_rpc_error(error).message
                    raise kind(f"segmentation service {self._address}: {message}") from error
                await asyncio.sleep(pause)
                continue
            if response is None:  # grpc.aio could not parse the response
                raise MaskError(f"segmentation service {self._address}: its answer is no message")
            mask = mask_to_array(response.mask)
            if mask.shape != image.shape[:2]:
                raise MaskError(f"segmentation service {self._address}: a mask of another size came back")
            return MadeMask(mask, response.review_reason if response.needs_review else "")
