"""Starts the segmentation service: ``python -m pixelprobe_services.segmentation --listen HOST:PORT``."""

from __future__ import annotations

import asyncio

import click
import grpc
from prometheus_client import CollectorRegistry

from pixelprobe_api.segmentation.v1 import segmentation_service_pb2 as pb
from pixelprobe_api.segmentation.v1 import segmentation_service_pb2_grpc as pb_grpc
from pixelprobe_services.common.peers import Peer
from pixelprobe_services.segmentation.grabcut import GrabCut
from pixelprobe_services.segmentation.metrics import SegmentationMetrics
from pixelprobe_services.segmentation.registry import Registry, UnconfiguredSalient
from pixelprobe_services.segmentation.saliency_server import TritonSaliency
from pixelprobe_services.segmentation.salient import Salient
from pixelprobe_services.segmentation.servicer import SegmentationServicer
from pixelprobe_services.server.bounds import Places
from pixelprobe_services.server.metrics import RpcMetrics, exposed, new_registry
from pixelprobe_services.server.rpc_spans import RpcSpans
from pixelprobe_services.server.security import Security, check_peer, peer_options, security_options
from pixelprobe_services.server.server import serve
from pixelprobe_services.server.settings import (
    address,
    configure_logging,
    metrics_setting,
    optional_address,
    run,
    setting,
    traces,
)

_SERVICE = pb.DESCRIPTOR.services_by_name["SegmentationService"].full_name


@click.command()
@setting(
    "--listen", "PIXELPROBE_LISTEN", type=address, help="HOST:PORT to listen on; port 0 takes a free one."
)
@setting(
    "--triton",
    "PIXELPROBE_TRITON_ADDRESS",
    type=optional_address,
    default="",
    help="HOST:PORT of the Triton (gRPC) that serves U2-Net; without it there is GrabCut only.",
)
@metrics_setting
@security_options
@peer_options("triton", "Triton")
def command(listen: str, triton: str, metrics: str, triton_peer: Peer, security: Security) -> None:
    """Serve masks for images over gRPC."""
    configure_logging()
    if triton:
        check_peer(triton_peer, triton)
    registry = new_registry("segmentation")
    with exposed(registry, metrics), traces("pixelprobe-segmentation"):
        asyncio.run(main(listen, triton, triton_peer, security, registry))


async def main(
    listen: str, triton: str, triton_peer: Peer, security: Security, metrics: CollectorRegistry
) -> None:
    """Serve until a signal stops it."""
    model = TritonSaliency(triton, peer=triton_peer) if triton else None
    salient = Salient(model) if model else UnconfiguredSalient()
    servicer = SegmentationServicer(Registry([GrabCut(), salient]), metrics=SegmentationMetrics(metrics))

    def add(server: grpc.aio.Server) -> list[str]:
        pb_grpc.add_SegmentationServiceServicer_to_server(servicer, server)
        return [_SERVICE]

    # Some more than are cut, so that a worker never waits for an image to be read.
    count = 2 * servicer.workers + 4
    places = {f"/{_SERVICE}/Segment": Places(count, share=count // 2)}
    try:
        await serve(
            listen=listen,
            add_servicers=add,
            watching=(RpcSpans(), RpcMetrics(metrics)),
            readiness=servicer.ready,
            places=places,
            security=security,
        )
    finally:
        servicer.close()
        if model:
            model.close()


if __name__ == "__main__":
    run(command)
