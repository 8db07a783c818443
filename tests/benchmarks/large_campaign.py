"""A finished campaign as large as the paper's: the time and memory that planning, listing and reporting take.

13,500 made-up attacks (500 images, three models, three regions, 1, 3 and 5 pixels, untargeted) in a SQLite
file behind a real server; the commands are those that people type, each a process of its own. Seconds are of
that process's CPU too: on a busy machine they say what the wall clock would on a free one.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import grpc
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixelprobe.report.rows import AttackRow
from pixelprobe_api.attack.v1 import attack_service_pb2, attack_service_pb2_grpc
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    CampaignState,
    ClassScore,
    Edit,
    Goal,
    Ledger,
    Outcome,
    Region,
    image_digest,
)
from pixelprobe_services.orchestrator.attacks.masks import MaskSource
from pixelprobe_services.orchestrator.campaigns.events import EventHub
from pixelprobe_services.orchestrator.campaigns.executor import LocalExecutor
from pixelprobe_services.orchestrator.campaigns.manager import CampaignManager
from pixelprobe_services.orchestrator.query.pool import BatcherPool
from pixelprobe_services.orchestrator.servicer import AttackServicer
from pixelprobe_services.orchestrator.store.base import AttackRecord, Store
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.targets.registry import Registry
from pixelprobe_services.server.server import serve
from tests.unit.orchestrator.fakes import INFO, FakeTarget
from tests.unit.report.campaigns import MODELS, campaign

IMAGES, PIXELS = 500, (1, 3, 5)
REGIONS = (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND)
WRITERS = 64
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ROWS, _COLUMNS = np.mgrid[:32, :32] - 15.5
MASK = _ROWS**2 + _COLUMNS**2 < 9.6**2

Place = tuple[int, str, str, int]
"""Which attack: image, model, region and pixels."""


@dataclass(frozen=True)
class Taken:
    """Cost of one command: wall-clock and CPU seconds, peak memory in bytes; and its limits."""

    command: str
    wall: float
    cpu: float
    peak: int
    most_seconds: float
    most_bytes: float = 1e9

    def __str__(self) -> str:
        return (
            f"{self.command}: {self.wall:.1f} s, {self.cpu:.1f} s of it on the CPU"
            f" (wanted: under {self.most_seconds:g} s), {self.peak / 1e6:,.0f} MB"
            f" (wanted: under {self.most_bytes / 1e6:,.0f})"
        )


@dataclass(frozen=True)
class LargeCampaign:
    """All commands, and the server's CPU seconds for all of them."""

    attacks: int
    commands: Sequence[Taken]
    server: float

    def __str__(self) -> str:
        lines = [
            f"a campaign of {self.attacks:,} attacks; the server's CPU for all of it {self.server:.1f} s"
        ]
        return "\n".join([*lines, *(f"  {command}" for command in self.commands)])


class Models:
    """The three classifiers, with the fields that are read."""

    def __init__(self) -> None:
        info = replace(INFO, width=32, height=32, labels=LABELS)
        self._known = {name: FakeTarget(info=replace(info, name=name)) for name in MODELS}

    def names(self) -> list[str]:
        return list(self._known)

    def get(self, name: str) -> FakeTarget:
        return self._known[name]


def measure(made_images: int = IMAGES) -> LargeCampaign:
    """Write a campaign on so many made_images, then plan, list and report it."""
    return asyncio.run(_measure(made_images))


async def _measure(made_images: int) -> LargeCampaign:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = await open_store(locate(f"sqlite:///{folder / 'store.db'}", None))
        try:
            rows = {_place(row): row for row in campaign(made_images)}
            campaign_id = await _fill(store, rows, _images(folder / "photos", made_images))
            (folder / "spec.toml").write_text(_spec(folder / "photos", made_images), encoding="utf-8")
            return await _asked(store, campaign_id, folder, len(rows))
        finally:
            await store.close()


async def _asked(store: Store, campaign_id: str, folder: Path, attacks: int) -> LargeCampaign:
    registry = cast(Registry, Models())
    pool, events = BatcherPool(registry, store), EventHub()
    executor = LocalExecutor(store, cast(MaskSource, None), pool, events)
    servicer = AttackServicer(store, CampaignManager(store, pool, executor, events), registry)

    def add_servicers(server: grpc.aio.Server) -> list[str]:
        attack_service_pb2_grpc.add_AttackServiceServicer_to_server(servicer, server)
        return [attack_service_pb2.DESCRIPTOR.services_by_name["AttackService"].full_name]

    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    serving = asyncio.create_task(
        serve(
            listen="127.0.0.1:0",
            add_servicers=add_servicers,
            on_listening=listening.set_result,
            stop=stop,
        )
    )
    address = await listening
    started = time.process_time()
    out = folder / "report"
    commands: list[tuple[tuple[object, ...], float]] = [
        (("campaign", "plan", folder / "spec.toml", "--rate", "600"), 5.0),
        (("campaign", "list"), 1.0),
        (("report", f"campaigns/{campaign_id}", "--out", out), 60.0),
    ]
    try:
        taken = [
            await asyncio.to_thread(_take, [str(word) for word in words], address, most_seconds)
            for words, most_seconds in commands
        ]
    finally:
        stop.set()
        await serving
        await pool.close()
    assert (out / "report.html").stat().st_size > 100_000
    return LargeCampaign(attacks, taken, time.process_time() - started)


def _take(words: Sequence[str], address: str, most_seconds: float) -> Taken:
    environment = {**os.environ, "PIXELPROBE_ORCHESTRATOR": address}
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pixelprobe.cli", *words], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"pixelprobe {' '.join(words)} ended with {process.returncode}"
    command = " ".join(words[:2] if words[0] == "campaign" else words[:1])
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    return Taken(command, wall, cpu, peak, most_seconds)


def _images(folder: Path, count: int) -> dict[str, NDArray[np.uint8]]:
    """Noise, by digest, put into ``folder`` too."""
    folder.mkdir()
    found = {}
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png")
        found[image_digest(pixels)] = pixels
    return found


async def _fill(
    store: Store, rows: Mapping[Place, AttackRow], made_images: Mapping[str, NDArray[np.uint8]]
) -> str:
    """Put made_images, campaign and results into the store. Returns the campaign's id."""
    for digest, pixels in made_images.items():
        await store.put_image(digest, pixels)
    numbers = {digest: number for number, digest in enumerate(made_images)}
    images = tuple(CampaignImage(digest, f"{n:06d}", n % 10) for digest, n in numbers.items())
    spec = CampaignSpec(images, MODELS, REGIONS, PIXELS, (Goal(),), display_name="large@0")
    record, _ = await store.create_campaign(spec, "")
    await store.change_campaign_state(record.id, CampaignState.RUNNING, expected=[CampaignState.PENDING])

    async def write() -> None:
        while (attack := await store.claim_attack(record.id)) is not None:
            key = attack.key
            row = rows[numbers[key.image_digest], key.target, key.region.value, key.pixels]
            mask = None if key.region is Region.WHOLE else MASK
            await store.finish_attack(attack.id, _result(row, attack), mask)

    await asyncio.gather(*(write() for _ in range(WRITERS)))
    assert await store.finish_campaign(record.id)
    return record.id


def _place(row: AttackRow) -> Place:
    return int(row.image_name), row.target, row.region, row.pixels


def _result(row: AttackRow, attack: AttackRecord) -> AttackResult:
    edits = [Edit(place % 32, attack.image_index % 32, 255, 0, place) for place in range(row.pixels)]
    return AttackResult(
        outcome=Outcome[row.outcome.name],
        reason=row.reason,
        clean_top=tuple(ClassScore(each.class_index, each.probability) for each in row.clean_top),
        best_top=tuple(ClassScore(each.class_index, each.probability) for each in row.best_top),
        best_probability_of_clean_top=row.best_probability_of_clean_top,
        edits=tuple(edits),
        ledger=Ledger(row.queries_sent, row.queries_skipped, row.queries_repeated),
        generations=row.generations,
        fitness_by_generation=tuple(row.fitness_by_generation),
        queries_to_success=row.queries_to_success,
        region_area_fraction=row.region_area_fraction,
    )


def _spec(folder: Path, made_images: int) -> str:
    return f"""
        name = "large"
        targets = {json.dumps(MODELS)}
        regions = {json.dumps([region.value for region in REGIONS])}
        pixels = {list(PIXELS)}
        goals = ["untargeted"]
        data = {{ kind = "folder", folder = "{folder}", class_folders = false, count = {made_images} }}
    """


if __name__ == "__main__":
    print(measure())
