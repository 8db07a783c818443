"""``python -m pixelprobe_services.orchestrator``: starts the attack service."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import click
import grpc
from prometheus_client import CollectorRegistry

from pixelprobe_api.attack.v1 import (
    attack_service_pb2,
    attack_service_pb2_grpc,
    load_test_service_pb2,
    load_test_service_pb2_grpc,
)
from pixelprobe_services.common.errors import FailedPreconditionError, InvalidArgumentError, ServiceError
from pixelprobe_services.common.peers import Peer
from pixelprobe_services.common.status import ErrorMap
from pixelprobe_services.common.values import IllegalTransitionError, InvalidSpecError
from pixelprobe_services.orchestrator.attacks.masks import MaskSource
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.executor import LocalExecutor
from pixelprobe_services.orchestrator.campaigns.manager import CampaignManager
from pixelprobe_services.orchestrator.campaigns.quotas import QuotaLedger, Quotas
from pixelprobe_services.orchestrator.campaigns.waiting import PATIENCE_SECONDS, Patience
from pixelprobe_services.orchestrator.load.servicer import LoadTestServicer
from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.readiness import any_target_answers, store_works
from pixelprobe_services.orchestrator.servicer import AttackServicer
from pixelprobe_services.orchestrator.store.errors import StoreError, StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation, store_options
from pixelprobe_services.orchestrator.store.measured import MeasuredStore
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.targets.registry import Registry, RegistryError
from pixelprobe_services.orchestrator.timing import TIMING_ENV, Timing
from pixelprobe_services.server.bounds import Places
from pixelprobe_services.server.metrics import RpcMetrics, exposed, new_registry
from pixelprobe_services.server.rpc_spans import RpcSpans
from pixelprobe_services.server.security import Security, check_peer, peer_options, security_options
from pixelprobe_services.server.server import serve
from pixelprobe_services.server.settings import (
    StartError,
    address,
    configure_logging,
    metrics_setting,
    run,
    setting,
    traces,
)


def _invalid_spec(error: Exception) -> ServiceError:
    assert isinstance(error, InvalidSpecError)
    return InvalidArgumentError(error.field, error.description)


ERROR_MAP: ErrorMap = {
    InvalidSpecError: _invalid_spec,
    IllegalTransitionError: lambda error: FailedPreconditionError(str(error)),
}

SERVICE = attack_service_pb2.DESCRIPTOR.services_by_name["AttackService"].full_name
LOAD_SERVICE = load_test_service_pb2.DESCRIPTOR.services_by_name["LoadTestService"].full_name
PLACES = {
    f"/{SERVICE}/UploadImages": Places(64, share=8),
    f"/{SERVICE}/CheckTarget": Places(4, share=2),  # each sends queries of its own
    f"/{SERVICE}/CreateCampaign": Places(8, share=4),  # masks take eight times their bytes on the wire
}


@click.command(help=__doc__)
@setting("--listen", "PIXELPROBE_LISTEN", type=address, help="HOST:PORT to listen on.")
@setting(
    "--targets",
    "PIXELPROBE_TARGETS_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A file of targets (TOML); may be given several times. Read again on SIGHUP.",
)
@setting(
    "--segmentation",
    "PIXELPROBE_SEGMENTATION_ADDRESS",
    type=address,
    help="HOST:PORT of the segmentation service.",
)
@setting(
    "--attacks-in-flight",
    "PIXELPROBE_ATTACKS_IN_FLIGHT",
    type=click.IntRange(1, 10_000),
    default=32,
    show_default=True,
    help="How many attacks run at once, over all campaigns.",
)
@setting(
    "--target-patience",
    "PIXELPROBE_TARGET_PATIENCE",
    type=click.FloatRange(min=0),
    default=PATIENCE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long a campaign waits for one of several targets, or for masks, before attacks that need it "
    "end in an error.",
)
@security_options
@peer_options("segmentation", "the segmentation service")
@store_options
@metrics_setting
def main(
    listen: str,
    targets: tuple[Path, ...],
    segmentation: str,
    attacks_in_flight: int,
    target_patience: float,
    store: StoreLocation,
    metrics: str,
    segmentation_peer: Peer,
    security: Security,
) -> None:
    """Read the settings and serve."""
    configure_logging()
    check_peer(segmentation_peer, segmentation)
    try:
        registry = Registry.from_files(targets)
    except RegistryError as error:
        raise StartError(error.message) from error
    try:
        timing = Timing.parse(os.environ.get(TIMING_ENV, ""))
    except ValueError as error:
        raise StartError(f"{TIMING_ENV}: {error}") from error
    prometheus = new_registry("orchestrator")
    try:
        masks = (segmentation, segmentation_peer)
        patience = Patience(target_patience)
        with exposed(prometheus, metrics), traces("pixelprobe-orchestrator"):
            asyncio.run(
                _serve(
                    listen, registry, masks, attacks_in_flight, patience, store, security, prometheus, timing
                )
            )
    except StoreSetupError as error:
        raise StartError(str(error)) from error
    except StoreError as error:
        raise StartError(f"store {store}: {error.message}") from error


async def _serve(
    listen: str,
    registry: Registry,
    segmentation: tuple[str, Peer],
    attacks_in_flight: int,
    patience: Patience,
    location: StoreLocation,
    security: Security,
    prometheus: CollectorRegistry,
    timing: Timing,
) -> None:
    metrics = OrchestratorMetrics(prometheus)
    store = MeasuredStore(await open_store(location, lease_seconds=timing.lease), metrics)
    address, peer = segmentation
    masks = MaskSource(address, timing.mask_retry, peer)
    quotas = Quotas(security.tokens.callers if security.tokens else ())
    batchers = BatcherPool(registry, QuotaLedger(store, quotas), timing.target_retry, metrics)
    events = EventHub(timing)
    executor = LocalExecutor(
        store,
        masks,
        batchers,
        events,
        attacks_in_flight=attacks_in_flight,
        patience=patience,
        metrics=metrics,
        timing=timing,
    )
    campaigns = CampaignManager(store, batchers, executor, events, quotas, patience, metrics, timing)

    def add_servicers(server: grpc.aio.Server) -> list[str]:
        attack_service_pb2_grpc.add_AttackServiceServicer_to_server(
            AttackServicer(store, campaigns, registry), server
        )
        load_test_service_pb2_grpc.add_LoadTestServiceServicer_to_server(
            LoadTestServicer(store, registry), server
        )
        return [SERVICE, LOAD_SERVICE]

    async def ready() -> bool:
        return await store_works(store) and await any_target_answers(registry)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, registry.reload)
    try:
        await campaigns.start()
        await serve(
            listen=listen,
            add_servicers=add_servicers,
            error_map=ERROR_MAP,
            watching=(RpcSpans(), RpcMetrics(prometheus)),
            readiness=ready,
            places=PLACES,
            on_shutdown=campaigns.stop,
            security=security,
        )
    finally:
        await campaigns.stop()
        await batchers.close()
        await masks.close()
        await registry.close()
        await store.close()


if __name__ == "__main__":
    run(main)
