"""Cost of storing a campaign: the same one over SQLite and in memory, in turns.

The model is a clock: it answers QUERIES_A_SECOND, one request at a time, as two CPU cores do, and needs no
CPU for it. What the store costs is the difference on the wall, and the CPU that a model beside it would miss.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_services.common.values import CampaignState, SearchSettings
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.targets.base import QueryBatch, Scores
from tests.integration.offline import offline, spec
from tests.unit.orchestrator.fakes import FakeTarget

QUERIES_A_SECOND = 700.0
SEARCH = SearchSettings(population=400, generations=2, early_stop=False)
ROUNDS = 2


class Clock(FakeTarget):
    """Answers at a fixed rate, whatever the load."""

    def __init__(self) -> None:
        super().__init__()
        self._one_at_a_time = asyncio.Lock()

    async def query(self, batch: QueryBatch) -> Scores:
        async with self._one_at_a_time:
            await asyncio.sleep(len(batch) / QUERIES_A_SECOND)
            return await super().query(batch)


@dataclass(frozen=True)
class Run:
    """One campaign: seconds on the wall, and of this process on the CPU."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class StoreCost:
    """Medians over the rounds."""

    sqlite: Run
    memory: Run

    def __str__(self) -> str:
        wall = self.sqlite.wall / self.memory.wall - 1
        cpu = (self.sqlite.cpu - self.memory.cpu) / self.sqlite.wall
        return (
            f"store: a campaign takes {self.sqlite.wall:.1f} s with SQLite, {self.memory.wall:.1f} s in"
            f" memory: {wall:+.1%} (wanted: under 3%); the store's CPU is {cpu:.1%} of one core in that time"
        )


def measure() -> StoreCost:
    """Alternate the two for ROUNDS rounds, after one each to warm up."""
    runs: dict[str, list[Run]] = {"sqlite": [], "memory": []}
    for _ in range(ROUNDS + 1):
        for kind, found in runs.items():
            found.append(asyncio.run(_campaign(kind)))
    return StoreCost(*(_median(found[1:]) for found in runs.values()))


@asynccontextmanager
async def _store(kind: str) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore()
        return
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(locate(f"sqlite:///{Path(folder) / 'store.db'}", None))
        try:
            yield store
        finally:
            await store.close()


async def _campaign(kind: str) -> Run:
    async with _store(kind) as store, offline(store, target=Clock()) as running:
        wall, cpu = time.monotonic(), time.process_time()
        campaign_id = await running.create(spec(search=SEARCH))
        async for _ in running.manager.watch(campaign_id, 0):
            pass
        assert (await store.get_campaign(campaign_id)).state is CampaignState.SUCCEEDED
        return Run(time.monotonic() - wall, time.process_time() - cpu)


def _median(runs: list[Run]) -> Run:
    return Run(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs))
