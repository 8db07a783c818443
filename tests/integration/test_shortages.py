"""This machine runs out of descriptors in the middle of a campaign: it waits, and loses nothing."""

from __future__ import annotations

import errno

from pixelprobe_services.common.values import CampaignState, SearchSettings
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from tests.integration.offline import offline, spec, undisturbed, without_sent
from tests.unit.orchestrator.fakes import FakeTarget
from tests.unit.orchestrator.test_journal import no_descriptors

SUCCEEDED, WAITING = CampaignState.SUCCEEDED, CampaignState.WAITING


async def test_checkpoints_outlast_a_shortage_of_descriptors() -> None:
    wanted = spec(search=SearchSettings(population=20, generations=30, early_stop=False))
    store = MemoryStore()
    async with offline(store, seconds_a_request=0.01) as running:
        campaign_id = await running.create(wanted)
        await running.some_answers()
    async with offline(store) as running:
        with no_descriptors():
            waiting = await running.until(campaign_id, WAITING)
            assert "too many open files" in waiting.state_reason
        await running.until(campaign_id, SUCCEEDED)
        found = await running.results(campaign_id)
    assert {result.started_over for result in found if result} == {""}
    assert [without_sent(one) for one in found] == [without_sent(one) for one in await undisturbed(wanted)]


async def test_a_shortage_anywhere_in_an_attack_is_waited_for() -> None:
    lacking = True

    def fault(_: int) -> None:
        if lacking:
            raise OSError(errno.EMFILE, "Too many open files")

    async with offline(MemoryStore(), target=FakeTarget(fault)) as running:
        campaign_id = await running.create()
        waiting = await running.until(campaign_id, WAITING)
        assert waiting.state_reason == "this machine: too many open files"
        lacking = False
        await running.until(campaign_id, SUCCEEDED)
        found = await running.results(campaign_id)
    assert [without_sent(one) for one in found] == [without_sent(one) for one in await undisturbed()]
