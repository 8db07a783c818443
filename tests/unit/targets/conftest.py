"""Fake servers, each with a way to open targets on it that are closed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pixelprobe_services.orchestrator.targets.base import Target
from pixelprobe_services.orchestrator.targets.registry import open_target
from tests.unit.targets import fake_grpc, fake_http
from tests.unit.targets.batches import config

Opener = Callable[..., Target]
"""Takes changes to the configuration."""
GrpcStage = tuple[fake_grpc.FakeServer, Opener]
HttpStage = tuple[fake_http.FakeServer, Opener]


class _Opened(list[Target]):
    def __init__(self, address: str, protocol: str) -> None:
        self._address, self._protocol = address, protocol

    def open(self, **changes: Any) -> Target:
        self.append(open_target(config(self._address, self._protocol, **changes)))
        return self[-1]

    async def close(self) -> None:
        for target in self:
            await target.close()


@pytest.fixture
async def grpc_stage() -> AsyncIterator[GrpcStage]:
    fake = fake_grpc.FakeServer()
    server, address = await fake_grpc.serve(fake)
    opened = _Opened(address, "kserve-grpc")
    yield fake, opened.open
    await opened.close()
    await server.stop(None)


@pytest.fixture
async def http_stage() -> AsyncIterator[HttpStage]:
    fake = fake_http.FakeServer()
    runner, address = await fake_http.serve(fake)
    opened = _Opened(address, "kserve-http")
    yield fake, opened.open
    await opened.close()
    await runner.cleanup()
