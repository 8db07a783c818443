"""A full disk, a locked file, a server that goes away: campaigns wait, lose nothing, and continue."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from pixelprobe_services.common.spec import CampaignSpec
from pixelprobe_services.common.values import CampaignState, SearchSettings
from pixelprobe_services.orchestrator.store.base import Checkpoint, QueryCount, Store
from pixelprobe_services.orchestrator.store.errors import (
    LeaseLostError,
    StoreFullError,
    StoreSetupError,
    StoreUnavailableError,
)
from pixelprobe_services.orchestrator.store.limits import UNLIMITED
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.store.opening import open_store
from pixelprobe_services.orchestrator.store.sql import database, engine
from pixelprobe_services.orchestrator.store.sql.store import SqlStore
from pixelprobe_services.orchestrator.targets.base import TargetInfo, TargetUnavailableError
from tests.contract.stores import RESULT, claim, create, run
from tests.integration.offline import QUICK, Offline, offline, spec, undisturbed, without_sent
from tests.postgres import PostgresServer, new_server, shared_server
from tests.unit.orchestrator.fakes import FakeTarget

PAUSED, RUNNING, SUCCEEDED = CampaignState.PAUSED, CampaignState.RUNNING, CampaignState.SUCCEEDED
WAITING = CampaignState.WAITING


async def open_sql(url: str) -> SqlStore:
    """A store that gives up after a second, so that tests need not wait for ten."""
    store = await open_store(locate(url, None))
    assert isinstance(store, SqlStore)
    store._database._patience = 1.0
    return store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def store(file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqlStore]:
    monkeypatch.setattr(engine, "LOCK_SECONDS", 0.2)
    opened = await open_sql(f"sqlite:///{file}")
    yield opened
    await opened.close()


_ENOUGH = 1_000_000


class Disk:
    """The disk of a store: full for whichever of its connections begins a transaction."""

    def __init__(self, store: SqlStore) -> None:
        self._pages = _ENOUGH
        event.listen(store._database._engine, "begin", self._limit)

    def fill(self) -> None:
        self._pages = 1  # SQLite raises this to what the file has: not one page more

    def free(self) -> None:
        self._pages = _ENOUGH

    def _limit(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {self._pages}")


@pytest.fixture(scope="module")
def server() -> PostgresServer:
    """One that may be stopped."""
    return new_server()


async def test_a_full_disk_is_told_and_takes_nothing_away(store: SqlStore) -> None:
    disk = Disk(store)
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    await store.save_checkpoint(attack.id, Checkpoint(b"here", (b"a",)))
    disk.fill()
    with pytest.raises(StoreFullError, match="the disk that holds the database is full"):
        await store.save_checkpoint(attack.id, Checkpoint(b"there" * 100_000, (b"b" * 100_000,)))
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"here", (b"a",))
    disk.free()
    await store.save_checkpoint(attack.id, Checkpoint(b"there", (b"b",)))
    assert await store.load_checkpoint(attack.id) == Checkpoint(b"there", (b"a", b"b"))


WITHOUT_DESCRIPTORS = """
import asyncio, os, resource, sys
from pixelprobe_services.orchestrator.store.errors import StoreUnavailableError
from pixelprobe_services.orchestrator.store.base import Checkpoint
from pixelprobe_services.orchestrator.store.location import locate
from pixelprobe_services.orchestrator.store.opening import open_store
from tests.contract.stores import claim, create, run

async def main():
    store = await open_store(locate(sys.argv[1], None))
    store._database._patience = 0.5
    record = await create(store)
    await run(store, record.id)
    attack = await claim(store, record.id)
    await store.save_checkpoint(attack.id, Checkpoint(b"here", (b"a",)))
    store._database._engine.dispose()  # the next read opens the file again
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    try:
        print("read", await store.load_checkpoint(attack.id))
    except StoreUnavailableError as error:
        print("paused:", error.message)
    for one in taken:
        os.close(one)
    print(await store.load_checkpoint(attack.id) == Checkpoint(b"here", (b"a",)))
    await store.close()

asyncio.run(main())
"""


def test_a_process_without_descriptors_gets_an_error_and_not_a_missing_checkpoint(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS, f"sqlite:///{file}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("paused: the database cannot be used")
    assert second == "True"


async def test_a_failure_in_one_commit_does_not_spoil_the_others(store: SqlStore) -> None:
    """Work that is committed together: some of it is refused, the rest counts."""
    record = await create(store)
    mine, lost = await claim(store, record.id), await claim(store, record.id)
    lease = store._held[lost.id]
    await store.release_attack(lost.id)
    before = await store.events_after(record.id, 0, 100)
    works = []
    for _ in range(5):
        store._held[lost.id] = lease
        works += [
            store.reserve_queries([QueryCount(mine.id, 2)]),
            store.finish_attack(lost.id, RESULT, None),  # appends an event before it is refused
        ]
    done = await asyncio.gather(*works, return_exceptions=True)
    assert done[0::2] == [None] * 5
    assert {type(error) for error in done[1::2]} == {LeaseLostError}
    assert (await store.ledger(mine.id)).sent == 10
    assert await store.events_after(record.id, 0, 100) == before


async def test_a_short_lock_is_waited_for_and_a_long_one_told(store: SqlStore, file: Path) -> None:
    record = await create(store)
    attack = await claim(store, record.id)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailableError, match="locked by another program"):
        await store.reserve_queries([QueryCount(attack.id, 1)])
    assert (await store.ledger(attack.id)).sent == 0  # reading goes on
    reserving = asyncio.create_task(store.reserve_queries([QueryCount(attack.id, 1)]))
    await asyncio.sleep(0.4)
    other.execute("COMMIT")
    other.close()
    await reserving
    assert (await store.ledger(attack.id)).sent == 1


async def test_broken_connections_are_replaced() -> None:
    store = await open_sql(shared_server().new_database())
    record = await create(store)
    attack = await claim(store, record.id)
    for _ in range(3):
        await asyncio.gather(*(store.ledger(attack.id) for _ in range(8)))

        def cut(connection: sa.Connection) -> None:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid != pg_backend_pid()"
            )

        await store._database.read(cut)
        await store.reserve_queries([QueryCount(attack.id, 1)])
    assert (await store.ledger(attack.id)).sent == 3
    await store.close()


async def test_a_server_that_restarts_is_waited_for(server: PostgresServer) -> None:
    store = await open_sql(server.new_database())
    store._database._patience = 30.0
    record = await create(store)
    attack = await claim(store, record.id)
    await asyncio.to_thread(server.stop)
    reserving = asyncio.create_task(store.reserve_queries([QueryCount(attack.id, 5)]))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    await reserving
    assert (await store.ledger(attack.id)).sent == 5
    await store.close()


async def check_wait(running: Offline, campaign_id: str, reason: str) -> None:
    """The campaign is seen to wait, and says why."""
    told: list[tuple[CampaignState | None, str]] = []

    async def watch() -> None:
        async for _, item in running.manager.watch(campaign_id, 0):
            told.append((getattr(item, "state", None), getattr(item, "reason", "")))

    watching = asyncio.create_task(watch())
    waiting = await running.until(campaign_id, WAITING)
    assert reason in waiting.state_reason
    await asyncio.sleep(3 * QUICK.watch_poll)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert any(state is WAITING and reason in why for state, why in told)


async def check_end(running: Offline, campaign_id: str, wanted: CampaignSpec | None = None) -> None:
    """It succeeded, with the results of a run without trouble, and every query is in the ledger."""
    await running.until(campaign_id, SUCCEEDED)
    results = await running.results(campaign_id)
    expected = await undisturbed(wanted)
    assert [without_sent(one) for one in results] == [without_sent(one) for one in expected]
    ledger = (await running.store.progress(campaign_id)).ledger
    assert ledger.sent >= running.target.answered
    assert ledger.sent >= sum(one.ledger.sent for one in expected if one)
    events = await running.store.events_after(campaign_id, 0, 1000)
    finished = [event.attack_number for event in events if event.attack_number is not None]
    assert sorted(finished) == list(range(len(results)))


async def test_a_campaign_outlasts_a_full_disk(store: SqlStore) -> None:
    disk = Disk(store)
    long = spec(search=SearchSettings(population=20, generations=60, early_stop=False))
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create(long)
        await running.some_answers()
        disk.fill()
        await check_wait(running, campaign_id, "the disk that holds the database is full")
        disk.free()
        await check_end(running, campaign_id, long)


async def test_a_campaign_outlasts_a_lock_and_resumes_at_once_when_asked(store: SqlStore, file: Path) -> None:
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create()
        await running.some_answers()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await check_wait(running, campaign_id, "locked by another program")
        other.execute("COMMIT")
        other.close()
        assert (await running.manager.resume(campaign_id)).state is RUNNING
        assert (await running.seen(campaign_id)).state in (RUNNING, SUCCEEDED)
        await check_end(running, campaign_id)


async def test_a_campaign_outlasts_the_loss_of_its_server(server: PostgresServer) -> None:
    store = await open_sql(server.new_database())
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create()
        await running.some_answers()
        await asyncio.to_thread(server.stop)
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            await running.seen(campaign_id)
        async with asyncio.timeout(30):
            await asyncio.gather(*running.manager._tasks.values())
        assert campaign_id in running.manager._waits
        await asyncio.to_thread(server.start)
        await check_end(running, campaign_id)
    await store.close()


class Fickle(MemoryStore):
    """Cannot count queries for a while; everything else works."""

    failures = 6

    async def reserve_queries(
        self, counts: Sequence[QueryCount], most_a_day: Mapping[str, int] = UNLIMITED
    ) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("not now")
        await super().reserve_queries(counts, most_a_day)


async def test_a_query_that_cannot_be_counted_is_no_result() -> None:
    async with offline(Fickle()) as running:
        campaign_id = await running.create()
        waiting = await running.until(campaign_id, WAITING)
        assert waiting.state_reason == "not now"
        assert running.target.answered == 0
        await check_end(running, campaign_id)


class Late(FakeTarget):
    """Comes up later than the orchestrator; ``name`` may be another by then."""

    is_up = False

    async def describe(self) -> TargetInfo:
        if not self.is_up:
            raise TargetUnavailableError("still loading")
        return await super().describe()


async def interrupted(store: Store) -> str:
    """A campaign that an orchestrator left unfinished."""
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create()
        await running.some_answers()
        return campaign_id


async def test_a_campaign_waits_for_targets_that_come_up_later(store: SqlStore) -> None:
    campaign_id = await interrupted(store)
    target = Late()
    async with offline(store, target=target) as running:
        assert (await running.until(campaign_id, WAITING)).state_reason == "still loading"
        target.is_up = True
        await running.until(campaign_id, SUCCEEDED)
        expected = [without_sent(one) for one in await undisturbed()]
        assert [without_sent(one) for one in await running.results(campaign_id)] == expected


async def test_a_campaign_pauses_for_good_when_its_target_was_removed(store: SqlStore) -> None:
    campaign_id = await interrupted(store)
    target = FakeTarget()
    target.name = "another"
    async with offline(store, target=target) as running:
        paused = await running.until(campaign_id, PAUSED)
        assert paused.state_reason == "no target 'fake'"
        assert (await store.get_campaign(campaign_id)).state is PAUSED
        target.name = "fake"
        await running.manager.resume(campaign_id)
        await running.until(campaign_id, SUCCEEDED)
        assert (await running.seen(campaign_id)).state_reason == ""


async def test_a_waiting_campaign_can_be_cancelled(store: SqlStore, file: Path) -> None:
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create()
        await running.some_answers()
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await running.until(campaign_id, WAITING)
        other.execute("COMMIT")
        other.close()
        await running.manager.cancel(campaign_id)
        progress = await store.progress(campaign_id)
        assert progress.attacks_finished == spec().attack_count
        await asyncio.sleep(10 * QUICK.poll)
        assert (await running.seen(campaign_id)).state is CampaignState.CANCELLED


async def test_a_server_that_cannot_be_reached_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    url = "postgresql://somebody:s3cret@127.0.0.1:1/none"
    with pytest.raises(StoreSetupError, match="refused") as told:
        await open_store(locate(url, None))
    assert "postgresql+psycopg://somebody:***@127.0.0.1:1/none" in str(told.value)
    assert "s3cret" not in str(told.value)
