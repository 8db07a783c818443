"""SIGHUP: a running orchestrator reads its targets files again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from tests import processes
from tests.stacks import wait_until
from tests.unit.targets import fake_grpc
from tests.unit.targets.fake_grpc import FakeServer


def table(name: str, address: str) -> str:
    return f'[targets.{name}]\nprotocol = "kserve-grpc"\naddress = "{address}"\nmodel = "toy"\n'


async def test_targets_that_join_can_be_used_and_a_broken_file_changes_nothing(tmp_path: Path) -> None:
    server, address = await fake_grpc.serve(FakeServer())
    one, other = tmp_path / "targets.toml", tmp_path / "own.toml"
    one.write_text(table("first", address))
    other.write_text(table("second", address))
    try:
        with processes.orchestrator(one, "127.0.0.1:1", "--targets", str(other)) as running:
            await asyncio.to_thread(_follow, running, other, address)
    finally:
        await server.stop(None)


def _follow(running: processes.RunningService, own: Path, address: str) -> None:
    with PixelprobeClient(Addresses(running.address, "127.0.0.1:1")) as client:

        def names() -> set[str]:
            return {target.name for target in client.list_targets() if target.available}

        assert names() == {"first", "second"}
        own.write_text(table("third", address))
        os.kill(running.process.pid, signal.SIGHUP)
        wait_until(lambda: names() == {"first", "third"})
        own.write_text("[targets")
        os.kill(running.process.pid, signal.SIGHUP)
        wait_until(lambda: any("targets are not read again" in line for line in running.lines))
        assert names() == {"first", "third"}
