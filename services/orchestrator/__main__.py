"""``python -m services.orchestrator``: the attack service. Wiring only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import grpc
from pixelprobe.attack.v1 import attack_service_pb2, attack_service_pb2_grpc

from services.common.bounds import Places
from services.common.errors import FailedPreconditionError, InvalidArgumentError, ServiceError
from services.common.server import serve
from services.common.settings import StartError, address, configure_logging, run, setting
from services.common.status import ErrorMap
from services.orchestrator.campaign import CampaignManager
from services.orchestrator.core.domain import IllegalTransitionError, InvalidSpecError
from services.orchestrator.events import EventHub
from services.orchestrator.executors.local import LocalExecutor
from services.orchestrator.masks import MaskSource
from services.orchestrator.query.pool import BatcherPool
from services.orchestrator.servicer import AttackServicer
from services.orchestrator.store.base import Store
from services.orchestrator.store.errors import StoreError, StoreSetupError
from services.orchestrator.store.location import StoreLocation
from services.orchestrator.store.opening import open_store
from services.orchestrator.store.options import store_options
from services.orchestrator.targets.registry import Registry, RegistryError


def _invalid_spec(error: Exception) -> ServiceError:
    assert isinstance(error, InvalidSpecError)
    return InvalidArgumentError(error.field, error.description)


ERROR_MAP: ErrorMap = {
    InvalidSpecError: _invalid_spec,
    IllegalTransitionError: lambda error: FailedPreconditionError(str(error)),
}

SERVICE = attack_service_pb2.DESCRIPTOR.services_by_name["AttackService"].full_name
PLACES = {
    f"/{SERVICE}/UploadImages": Places(64, share=8),
    f"/{SERVICE}/CreateCampaign": Places(8, share=4),  # a spec's masks take eight times their bytes
}


@click.command(help=__doc__)
@setting("--listen", "PIXELPROBE_LISTEN", type=address, help="HOST:PORT to listen on.")
@setting(
    "--targets",
    "PIXELPROBE_TARGETS_FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The operator's file of targets (TOML).",
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
@store_options
def main(listen: str, targets: Path, segmentation: str, attacks_in_flight: int, store: StoreLocation) -> None:
    """Read the settings and serve."""
    configure_logging()
    try:
        registry = Registry.from_file(targets)
    except RegistryError as error:
        raise StartError(error.message) from error
    try:
        asyncio.run(_serve(listen, registry, segmentation, attacks_in_flight, store))
    except StoreSetupError as error:
        raise StartError(str(error)) from error
    except StoreError as error:
        raise StartError(f"store {store}: {error.message}") from error


async def _serve(
    listen: str, registry: Registry, segmentation: str, attacks_in_flight: int, location: StoreLocation
) -> None:
    store = await open_store(location)
    masks = MaskSource(segmentation)
    batchers = BatcherPool(registry, store)
    events = EventHub()
    executor = LocalExecutor(store, masks, batchers, events, attacks_in_flight=attacks_in_flight)
    campaigns = CampaignManager(store, batchers, executor, events)

    def add_servicers(server: grpc.aio.Server) -> list[str]:
        attack_service_pb2_grpc.add_AttackServiceServicer_to_server(
            AttackServicer(store, campaigns, registry), server
        )
        return [SERVICE]

    async def ready() -> bool:
        return await _store_works(store) and await _any_target_answers(registry)

    try:
        await campaigns.start()
        await serve(
            listen=listen,
            add_servicers=add_servicers,
            error_map=ERROR_MAP,
            readiness=ready,
            places=PLACES,
            on_shutdown=campaigns.stop,
        )
    finally:
        await campaigns.stop()
        await batchers.close()
        await masks.close()
        await registry.close()
        await store.close()


async def _store_works(store: Store) -> bool:
    try:
        await store.check()
    except StoreError:
        return False
    return True


async def _any_target_answers(registry: Registry) -> bool:
    """Ready means that at least one target can be described."""
    for name in registry.names():
        try:
            await registry.get(name).check()
        except ServiceError:
            continue
        return True
    return False


if __name__ == "__main__":
    run(main)
