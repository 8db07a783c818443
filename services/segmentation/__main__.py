"""Starts the segmentation service: ``python -m services.segmentation --listen HOST:PORT``."""

from __future__ import annotations

import asyncio

import click
import grpc
from pixelprobe.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc

from services.common.bounds import Places
from services.common.server import serve
from services.common.settings import address, configure_logging, run, setting
from services.segmentation.grabcut import GrabCut
from services.segmentation.registry import Registry, UnconfiguredSalient
from services.segmentation.salient import Salient
from services.segmentation.servicer import SegmentationServicer
from services.segmentation.triton import TritonSaliency

_SERVICE = pb.DESCRIPTOR.services_by_name["SegmentationService"].full_name


def _optional_address(value: str) -> str:
    """An address, or "" for none: what an empty variable says."""
    return address(value) if value else ""


@click.command()
@setting(
    "--listen", "PIXELPROBE_LISTEN", type=address, help="HOST:PORT to listen on; port 0 takes a free one."
)
@setting(
    "--triton",
    "PIXELPROBE_TRITON_ADDRESS",
    type=_optional_address,
    default="",
    help="HOST:PORT of the Triton (gRPC) that serves U2-Net; without it there is GrabCut only.",
)
def command(listen: str, triton: str) -> None:
    """Serve masks for pictures over gRPC."""
    configure_logging()
    asyncio.run(main(listen, triton))


async def main(listen: str, triton: str) -> None:
    """Serve until told to stop."""
    model = TritonSaliency(triton) if triton else None
    salient = Salient(model) if model else UnconfiguredSalient()
    servicer = SegmentationServicer(Registry([GrabCut(), salient]))

    def add(server: grpc.aio.Server) -> list[str]:
        pb_grpc.add_SegmentationServiceServicer_to_server(servicer, server)
        return [_SERVICE]

    # Some more than are cut, so that a worker never waits for a picture to be read.
    count = 2 * servicer.workers + 4
    places = {f"/{_SERVICE}/Segment": Places(count, share=count // 2)}
    try:
        await serve(listen=listen, add_servicers=add, readiness=servicer.ready, places=places)
    finally:
        servicer.close()
        if model:
            model.close()


if __name__ == "__main__":
    run(command)
