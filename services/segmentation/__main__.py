"""Starts the segmentation service: ``python -m services.segmentation --listen HOST:PORT``."""

from __future__ import annotations

import asyncio

import click
import grpc
from pixelprobe.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc

from services.common.peers import Peer
from services.common.security import Security, check_peer, peer_options, security_options
from services.common.server import serve
from services.common.settings import address, configure_logging, run, setting
from services.segmentation.grabcut import GrabCut
from services.segmentation.registry import Registry, UnconfiguredSalient
from services.segmentation.salient import Salient
from services.segmentation.servicer import SegmentationServicer
from services.segmentation.triton import TritonSaliency


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
@security_options
@peer_options("triton", "Triton")
def command(listen: str, triton: str, triton_peer: Peer, security: Security) -> None:
    """Serve masks for pictures over gRPC."""
    configure_logging()
    if triton:
        check_peer(triton_peer, triton)
    asyncio.run(main(listen, triton, triton_peer, security))


async def main(listen: str, triton: str, triton_peer: Peer, security: Security) -> None:
    """Serve until told to stop."""
    model = TritonSaliency(triton, peer=triton_peer) if triton else None
    salient = Salient(model) if model else UnconfiguredSalient()
    servicer = SegmentationServicer(Registry([GrabCut(), salient]))

    def add(server: grpc.aio.Server) -> list[str]:
        pb_grpc.add_SegmentationServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["SegmentationService"].full_name]

    try:
        await serve(listen=listen, add_servicers=add, readiness=servicer.ready, security=security)
    finally:
        servicer.close()
        if model:
            model.close()


if __name__ == "__main__":
    run(command)
