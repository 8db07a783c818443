"""The segmentation RPCs: check, run in a worker thread, answer."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc
from pixelprobe_services.common.errors import ResourceExhaustedError
from pixelprobe_services.common.images import to_array
from pixelprobe_services.segmentation import convert
from pixelprobe_services.segmentation.base import Options, Pixels, Segmentation
from pixelprobe_services.segmentation.metrics import SegmentationMetrics
from pixelprobe_services.segmentation.registry import Choice, Registry
from pixelprobe_services.segmentation.review import review_reason
from pixelprobe_services.server.interceptors import Context

MAX_WAITING = 128
"""Images held at once, in work or waiting; a large one takes 48 MiB."""

_SELF_TEST_SIDE = 16


class SegmentationServicer(pb_grpc.SegmentationServiceServicer):
    """Segments images in ``workers`` threads (one per core by default), so that the event loop stays free.

    Segmenters that wait for another server have a pool of their own, and so has the choice of a segmenter,
    which may wait as well: GrabCut works on while U2-Net's server is slow or down.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        workers: int | None = None,
        max_waiting: int = MAX_WAITING,
        metrics: SegmentationMetrics | None = None,
    ) -> None:
        self._registry = registry
        self.workers = workers or os.cpu_count() or 1
        self._pools = {
            waits: ThreadPoolExecutor(self.workers, thread_name_prefix="wait" if waits else "segment")
            for waits in (False, True)
        }
        self._choosers = ThreadPoolExecutor(max_waiting, thread_name_prefix="choose")
        self._max_waiting = max_waiting
        self._held = 0
        self._tested = False
        self._metrics = metrics or SegmentationMetrics()
        self._metrics.watch_held(lambda: self._held)

    async def Segment(self, request: pb.SegmentRequest, context: Context) -> pb.SegmentResponse:
        """See the proto. When the client goes away, the work stops at its next step."""
        image = to_array(request.image)
        # A hundred thousand points take half a second, which would block the event loop.
        options = await asyncio.to_thread(
            convert.to_options, request, request.image.width, request.image.height
        )
        with self._metrics.segmenting(self._registry.known(request.segmenter)) as made:
            found = made.segmentation = await self._run(request.segmenter, image, options)
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
        """Return True once a tiny image has been segmented; later calls do not wait behind real work.

        The test uses GrabCut, which needs no other server. Whether U2-Net can be used is in ListSegmenters:
        the service is of use without it.
        """
        if not self._tested:
            image = np.zeros((_SELF_TEST_SIDE, _SELF_TEST_SIDE, 3), dtype=np.uint8)
            image[4:12, 4:12] = 255
            await self._run("", image, None)
            self._tested = True
        return True

    def close(self) -> None:
        """Stop the workers; requests that still wait are dropped."""
        for pool in (self._choosers, *self._pools.values()):
            pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, name: str, image: Pixels, options: Options | None) -> Segmentation:
        if self._held >= self._max_waiting:
            raise ResourceExhaustedError(f"{self._held} images are waiting already; try again later")
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        self._held += 1
        try:
            # The workers' log lines and calls to Triton belong to this request.
            here = contextvars.copy_context()
            choice = await loop.run_in_executor(
                self._choosers, here.run, self._registry.choose, name, image, options
            )
            pool = self._pools[choice.segmenter.waits]
            return await loop.run_in_executor(pool, here.run, _segment, choice, image, options, stop)
        finally:
            # Cancelled or past its deadline: the rest of the work is not needed.
            stop.set()
            self._held -= 1


def _segment(choice: Choice, image: Pixels, options: Options | None, stop: threading.Event) -> Segmentation:
    """Segment and review an image; runs in a worker thread."""
    segmenter, reason = choice
    cut = segmenter.segment(image, options, stop)
    area = float(cut.mask.mean())
    return Segmentation(cut.mask, area, review_reason(area), segmenter.id, reason, cut.saliency)
