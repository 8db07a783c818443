"""The segmentation RPCs: check, run in a worker thread, answer."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from pixelprobe.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc

from services.common.errors import ResourceExhaustedError
from services.common.images import to_array
from services.common.interceptors import Context
from services.segmentation import convert
from services.segmentation.base import Options, Pixels, Segmentation
from services.segmentation.registry import Registry
from services.segmentation.review import review_reason

MAX_WAITING = 128
"""Pictures held at once, in work or waiting; a large one takes 48 MiB."""

_SELF_TEST_SIDE = 16


class SegmentationServicer(pb_grpc.SegmentationServiceServicer):
    """Cuts pictures in ``workers`` threads (one a core unless told), so that the event loop stays free."""

    def __init__(
        self, registry: Registry, *, workers: int | None = None, max_waiting: int = MAX_WAITING
    ) -> None:
        self._registry = registry
        self.workers = workers or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="segment")
        self._max_waiting = max_waiting
        self._held = 0
        self._tested = False

    async def Segment(self, request: pb.SegmentRequest, context: Context) -> pb.SegmentResponse:
        """See the proto. When the client goes away, the work stops at its next step."""
        image = to_array(request.image)
        # A hundred thousand points take half a second, in which others want to be answered.
        options = await asyncio.to_thread(
            convert.to_options, request, request.image.width, request.image.height
        )
        found = await self._run(request.segmenter, image, options)
        if not request.return_saliency:
            found = replace(found, saliency=None)
        return convert.to_segment_response(found)

    async def ListSegmenters(
        self, request: pb.ListSegmentersRequest, context: Context
    ) -> pb.ListSegmentersResponse:
        """See the proto."""
        # Not among the workers, who may all be busy; nor here, as it may wait for another server.
        return convert.to_list_response(await asyncio.to_thread(self._registry.list))

    async def ready(self) -> bool:
        """True once a tiny picture has gone the whole way; later calls do not wait behind real work."""
        if not self._tested:
            image = np.zeros((_SELF_TEST_SIDE, _SELF_TEST_SIDE, 3), dtype=np.uint8)
            image[4:12, 4:12] = 255
            await self._run("", image, None)
            self._tested = True
        return True

    def close(self) -> None:
        """Stop the workers; what still waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, name: str, image: Pixels, options: Options | None) -> Segmentation:
        if self._held >= self._max_waiting:
            raise ResourceExhaustedError(f"{self._held} pictures are waiting already; try again later")
        stop = threading.Event()
        self._held += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, self._segment, name, image, options, stop
            )
        finally:
            # Cancelled or past its deadline: nobody waits for the rest.
            stop.set()
            self._held -= 1

    def _segment(
        self, name: str, image: Pixels, options: Options | None, stop: threading.Event
    ) -> Segmentation:
        """In a worker thread: choosing may wait for another server, too."""
        segmenter, reason = self._registry.choose(name, image, options)
        cut = segmenter.segment(image, options, stop)
        area = float(cut.mask.mean())
        return Segmentation(cut.mask, area, review_reason(area), segmenter.id, reason, cut.saliency)
