"""``python -m services.orchestrator``: the attack service. Wiring only."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import grpc
from pixelprobe.attack.v1 import attack_service_pb2, attack_service_pb2_grpc

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
from services.orchestrator.store.memory import MemoryStore
from services.orchestrator.targets.registry import Registry, RegistryError


def _invalid_spec(error: Exception) -> ServiceError:
    assert isinstance(error, InvalidSpecError)
    return InvalidArgumentError(error.field, error.description)


ERROR_MAP: ErrorMap = {
    InvalidSpecError: _invalid_spec,
    IllegalTransitionError: lambda error: FailedPreconditionError(str(error)),
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
def main(listen: str, targets: Path, segmentation: str, attacks_in_flight: int) -> None:
    """Read the settings and serve."""
    configure_logging()
    try:
        registry = Registry.from_file(targets)
    except RegistryError as error:
        raise StartError(error.message) from error
    asyncio.run(_serve(listen, registry, segmentation, attacks_in_flight))


async def _serve(listen: str, registry: Registry, segmentation: str, attacks_in_flight: int) -> None:
    store = MemoryStore()
    masks = MaskSource(segmentation)
    batchers = BatcherPool(registry, store)
    events = EventHub()
    executor = LocalExecutor(store, masks, batchers, events, attacks_in_flight=attacks_in_flight)
    campaigns = CampaignManager(store, batchers, executor, events)

    def add_servicers(server: grpc.aio.Server) -> list[str]:
        attack_service_pb2_grpc.add_AttackServiceServicer_to_server(
            AttackServicer(store, campaigns, registry), server
        )
        return [attack_service_pb2.DESCRIPTOR.services_by_name["AttackService"].full_name]

    async def ready() -> bool:
        return await _any_target_answers(registry)

    await campaigns.start()
    try:
        await serve(
            listen=listen,
            add_servicers=add_servicers,
            error_map=ERROR_MAP,
            readiness=ready,
            on_shutdown=campaigns.stop,
        )
    finally:
        await batchers.close()
        await masks.close()
        await registry.close()
        await store.close()


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
