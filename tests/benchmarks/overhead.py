"""Cost of the orchestrator at ImageNet's size: memory with many attacks in flight, CPU time a query.

32 one-pixel attacks of 400 candidates on as many images of 224x224, on the cheap classifier of 1000 classes
that wire.py makes, so that queries come fast and nothing hides behind the model. Its CPU a query is then held
against the model's, that one's and that of a classifier which costs what EfficientNet-Lite0 costs. CPU
seconds and not the clock: they stay what they are when something else runs on the machine.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixelprobe.api import PixelprobeClient
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    CampaignImage,
    CampaignSpec,
    CampaignState,
    Region,
    SearchSettings,
)
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.benchmarks import lite0, wire
from tests.benchmarks.processes import cpu_seconds, forget_peak, peak_bytes

LITE0 = "lite0_224"
ATTACKS, CANDIDATES, GENERATIONS = 32, 400, 2
WANTED_BYTES, WANTED_SHARE = 400e6, 0.05
LITE0_REQUESTS, LITE0_CANDIDATES = 4, 100
PATIENCE_SECONDS = 600.0


@dataclass(frozen=True)
class Overhead:
    """``in_flight``: how many attacks had been heard of before the first ended. Seconds are of the CPU, for
    each query.
    """

    in_flight: int
    queries: int
    peak_bytes: int
    own_seconds: float
    model_seconds: float
    lite0_seconds: float

    def __str__(self) -> str:
        share = self.own_seconds / self.lite0_seconds
        return (
            f"memory: with {self.in_flight} attacks in flight, {CANDIDATES} candidates each, 224x224, 1000"
            f" classes, the orchestrator held {self.peak_bytes / 1e6:.0f} MB at most"
            f" (wanted: under {WANTED_BYTES / 1e6:.0f})\n"
            f"overhead: {self.own_seconds * 1e6:.0f} us of CPU a query in the orchestrator, over"
            f" {self.queries:,} queries: {share:.1%} of the {self.lite0_seconds * 1e3:.1f} ms that"
            f" EfficientNet-Lite0's layers take (wanted: under {WANTED_SHARE:.0%}),"
            f" {self.own_seconds / self.model_seconds:.1%} of the {self.model_seconds * 1e3:.2f} ms of"
            " one cheap convolution"
        )


def measure(client: PixelprobeClient, stack: dict[str, dict[str, Any]]) -> Overhead:
    """Run the campaign once and query the slower model a little; ``stack``: addresses and process ids."""
    own, server = int(stack["orchestrator"]["pid"]), int(stack["triton"]["pid"])
    through_orchestrator(client, attacks=4, seed=1)  # connects, imports, warms up
    forget_peak(own)
    before, server_before = cpu_seconds(own), cpu_seconds(server)
    in_flight, queries = through_orchestrator(client, attacks=ATTACKS, seed=2)
    own_seconds, model_seconds = cpu_seconds(own) - before, cpu_seconds(server) - server_before
    peak = peak_bytes(own)
    return Overhead(
        in_flight=in_flight,
        queries=queries,
        peak_bytes=peak,
        own_seconds=own_seconds / queries,
        model_seconds=model_seconds / queries,
        lite0_seconds=asyncio.run(_lite0_seconds(stack["triton"]["grpc"], server)),
    )


def through_orchestrator(client: PixelprobeClient, attacks: int, seed: int) -> tuple[int, int]:
    """One campaign: how many attacks were in flight at once, and how many queries it sent."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (attacks, lite0.SIDE, lite0.SIDE, 3), dtype=np.uint8)
    spec = CampaignSpec(
        images=tuple(CampaignImage(digest) for digest in client.upload_images(images)),
        targets=(wire.LARGE,),
        regions=(Region.WHOLE,),
        search=SearchSettings(population=CANDIDATES, generations=GENERATIONS, early_stop=False),
        seed=seed,
    )
    name = client.create_campaign(spec).name
    heard_of: set[str] = set()
    in_flight = 0
    for event in client.watch_campaign(name):
        if isinstance(event, AttackProgress):
            heard_of.add(event.attack)
        if isinstance(event, AttackFinished):
            in_flight = in_flight or len(heard_of)
    campaign = client.get_campaign(name)
    assert campaign.state is CampaignState.SUCCEEDED, campaign.state_reason
    return in_flight, campaign.queries_sent


async def _lite0_seconds(address: str, server: int) -> float:
    target = open_target(TargetConfig(LITE0, "kserve-grpc", address, LITE0, timeout_seconds=PATIENCE_SECONDS))
    try:
        info = await target.describe()
        await target.query(wire.one_generation(info, 8))  # warms up
        batch = wire.one_generation(info, LITE0_CANDIDATES)
        before = cpu_seconds(server)
        for _ in range(LITE0_REQUESTS):
            await target.query(batch)
        return (cpu_seconds(server) - before) / (LITE0_REQUESTS * len(batch))
    finally:
        await target.close()
