"""Orchestrators killed in the middle of a campaign on a real Triton: it continues, and ends the same.

"The same" is exact: every float, every edit, every count that does not depend on what had to be asked twice.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Attack, Campaign, CampaignState, Region, SearchSettings
from tests import processes
from tests.integration.asking import IMAGES, queries_scored, start
from tests.postgres import shared_server

KILLS = 10
TARGET = "allconv_cifar10"
PIECE = 100
"""Queries that an attack has under way at most: the default of ``stop_check_queries``."""
IN_FLIGHT = 6
SPEC = {
    "targets": (TARGET,),
    "regions": (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND),
    "pixel_counts": (1, 3),
    "search": SearchSettings(population=120, generations=2),
    "seed": 20,
}


@dataclass(frozen=True)
class Reference:
    """The campaign when nothing interrupts it."""

    attacks: list[Attack]
    seconds: float

    @property
    def sent(self) -> int:
        return sum(attack.result.queries_sent for attack in self.attacks if attack.result)


@dataclass(frozen=True)
class Services:
    """What an orchestrator needs, and where Triton counts."""

    targets: Path
    segmentation: str
    triton_metrics: str

    @contextmanager
    def orchestrator(self, store: str) -> Iterator[tuple[processes.RunningService, PixelprobeClient]]:
        with (
            processes.orchestrator(
                self.targets, self.segmentation, "--store", store, "--attacks-in-flight", str(IN_FLIGHT)
            ) as running,
            PixelprobeClient(Addresses(running.address, self.segmentation)) as client,
        ):
            yield running, client

    def live_and_die(self, store: str, seconds: float) -> None:
        """An orchestrator that is killed so long after its start, wherever it is by then."""
        command = [
            sys.executable, "-m", "pixelprobe_services.orchestrator", "--listen", "127.0.0.1:0",
            "--targets", str(self.targets), "--segmentation", self.segmentation, "--store", store,
            "--attacks-in-flight", str(IN_FLIGHT),
        ]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**processes.QUICK, **os.environ})
        time.sleep(seconds)
        process.kill()
        process.wait()

    def counted(self) -> int:
        """Queries that Triton ever scored for the target."""
        return sum(queries_scored(self.triton_metrics, model) for model in (TARGET, f"{TARGET}_edits"))


@pytest.fixture(scope="module")
def services(targets_file: Path, segmentation_address: str, local_triton: dict[str, str]) -> Services:
    return Services(targets_file, segmentation_address, local_triton["metrics"])


@pytest.fixture(scope="module")
def reference(services: Services) -> Reference:
    with services.orchestrator("memory://") as (_, client):
        begin = time.monotonic()
        name = start(client, IMAGES[:2], **SPEC)
        campaign = finish(client, name)
        seconds = time.monotonic() - begin
        attacks = list(client.list_results(name))
        assert campaign.queries_sent == sum(one.result.queries_sent for one in attacks if one.result)
        return Reference(attacks, seconds)


def finish(client: PixelprobeClient, name: str) -> Campaign:
    for _ in client.watch_campaign(name):
        pass
    campaign = client.get_campaign(name)
    assert campaign.state is CampaignState.SUCCEEDED
    return campaign


def lasting(attack: Attack) -> tuple[object, ...]:
    """All of an attack that being killed must not change."""
    result = attack.result
    assert result is not None
    mask = None if result.mask is None else result.mask.tobytes()
    return (
        attack.image_index, attack.target, attack.region, attack.pixels, attack.target_class,
        result.outcome, result.reason, result.clean_top, result.best_top,
        result.best_probability_of_clean_top, result.edits, result.queries_skipped,
        result.queries_repeated, result.generations, result.fitness_by_generation, mask,
        result.region_area_fraction,
    )  # fmt: skip


def assert_same(attacks: list[Attack], reference: Reference) -> None:
    assert [lasting(attack) for attack in attacks] == [lasting(attack) for attack in reference.attacks]
    for attack, expected in zip(attacks, reference.attacks, strict=True):
        assert attack.result is not None
        assert expected.result is not None
        assert attack.result.queries_sent >= expected.result.queries_sent


def is_running(file: Path) -> bool:
    """Whether the campaign in an SQLite file that nobody uses is not at its end."""
    with contextlib.closing(sqlite3.connect(file)) as database:
        (state,) = database.execute("SELECT state FROM campaigns").fetchone()
    return bool(state == "running")


def test_killed_at_random_moments(services: Services, reference: Reference, tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = f"sqlite:///{file}"
    before = services.counted()
    chance = random.Random()
    begin = time.monotonic()
    with services.orchestrator(store) as (running, client):
        start_seconds = time.monotonic() - begin
        name = start(client, IMAGES[:2], **SPEC)
        time.sleep(chance.uniform(0, reference.seconds / KILLS))
        running.process.kill()
    kills = 1
    while kills < KILLS and is_running(file):
        services.live_and_die(store, chance.uniform(0, start_seconds + 1.5 * reference.seconds / KILLS))
        kills += 1
    assert kills > 3, "the campaign ended before it was killed often enough to mean something"
    with services.orchestrator(store) as (_, client):
        campaign = finish(client, name)
        attacks = list(client.list_results(name))
    assert_same(attacks, reference)
    assert campaign.attacks_finished == len(reference.attacks)
    assert campaign.queries_sent == sum(one.result.queries_sent for one in attacks if one.result)
    assert campaign.queries_sent >= services.counted() - before
    # What was asked twice: requests under way, and what a second of saving apart may lose.
    rate = reference.sent / reference.seconds
    assert campaign.queries_sent - reference.sent <= kills * (IN_FLIGHT * PIECE + 1.5 * rate)


def test_two_orchestrators_share_a_campaign(services: Services, reference: Reference) -> None:
    store = shared_server().new_database()
    owners: set[str] = set()
    with (
        services.orchestrator(store) as (_, one),
        services.orchestrator(store) as (_, other),
    ):
        name = start(one, IMAGES[:2], **SPEC)
        watching = threading.Event()

        def watch() -> None:
            with psycopg.connect(store, autocommit=True) as database:
                while not watching.wait(0.1):
                    rows = database.execute("SELECT DISTINCT owner FROM attacks WHERE state = 'running'")
                    owners.update(owner for (owner,) in rows)

        thread = threading.Thread(target=watch)
        thread.start()
        campaign = finish(other, name)
        watching.set()
        thread.join()
        attacks = list(one.list_results(name))
    assert len(owners) == 2
    assert_same(attacks, reference)
    # Had an attack run on both at a time, something would have been sent twice.
    assert campaign.queries_sent == reference.sent


def test_one_of_two_is_killed_and_the_other_finishes(services: Services, reference: Reference) -> None:
    store = shared_server().new_database()
    before = services.counted()
    with (
        services.orchestrator(store) as (dying, one),
        services.orchestrator(store) as (_, other),
    ):
        name = start(one, IMAGES[:2], **SPEC)
        while other.get_campaign(name).attacks_finished < 2:
            time.sleep(0.05)
        dying.process.kill()
        campaign = finish(other, name)
        attacks = list(other.list_results(name))
    assert_same(attacks, reference)
    assert campaign.queries_sent >= services.counted() - before
    with psycopg.connect(store) as database:
        numbers = database.execute(
            "SELECT attack_number FROM events WHERE attack_number IS NOT NULL ORDER BY attack_number"
        ).fetchall()
    assert [number for (number,) in numbers] == list(range(len(attacks)))
