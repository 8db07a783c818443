"""Ready means: the store writes, and one target answers, whatever the others do."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from pixelprobe_services.orchestrator.readiness import any_target_answers, store_works
from pixelprobe_services.orchestrator.store.errors import StoreFullError
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetInfo, TargetUnavailableError
from pixelprobe_services.orchestrator.targets.registry import Registry
from tests.unit.orchestrator.fakes import FakeTarget


class Away(FakeTarget):
    async def check(self) -> TargetInfo:
        raise TargetUnavailableError("nobody home")


class Wrong(FakeTarget):
    async def check(self) -> TargetInfo:
        raise TargetError("takes floats")


class Hanging(FakeTarget):
    given_up = False

    async def check(self) -> TargetInfo:
        try:
            await asyncio.sleep(60)
        finally:
            self.given_up = True
        raise AssertionError


class Several:
    """A registry of these targets."""

    def __init__(self, *targets: FakeTarget) -> None:
        self._targets = {str(number): target for number, target in enumerate(targets)}

    def names(self) -> tuple[str, ...]:
        return tuple(self._targets)

    def get(self, name: str) -> FakeTarget:
        return self._targets[name]


@pytest.mark.parametrize(
    ("targets", "ready"),
    [
        ((FakeTarget(),), True),
        ((Away(), Wrong(), FakeTarget()), True),
        ((Away(), Wrong()), False),
        ((), False),
    ],
)
async def test_one_target_is_enough(targets: tuple[FakeTarget, ...], ready: bool) -> None:
    assert await any_target_answers(cast(Registry, Several(*targets))) is ready


async def test_a_target_that_hangs_hides_nobody_and_is_not_left_asking() -> None:
    hanging = Hanging()
    async with asyncio.timeout(5):
        assert await any_target_answers(cast(Registry, Several(hanging, FakeTarget())))
    assert hanging.given_up


async def test_a_store_that_cannot_write_is_not_ready() -> None:
    class Full(MemoryStore):
        async def check(self) -> None:
            raise StoreFullError("the disk that holds the database is full")

    assert await store_works(MemoryStore())
    assert not await store_works(Full())
