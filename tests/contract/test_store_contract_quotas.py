"""What ``store/base.py`` promises of owners and their quotas, for every store."""

from __future__ import annotations

import asyncio

import pytest

from pixelprobe_services.common.errors import QuotaExceededError
from pixelprobe_services.common.values import AttackResult, CampaignState, Ledger, Outcome
from pixelprobe_services.orchestrator.store.base import AttackId, QueryCount, Store
from pixelprobe_services.orchestrator.store.errors import LeaseLostError
from pixelprobe_services.orchestrator.store.limits import DayUsedUpError, Limits
from tests.contract.stores import SPEC, claim, create, next_day, run

CANCELLED, PAUSED, RUNNING = CampaignState.CANCELLED, CampaignState.PAUSED, CampaignState.RUNNING
TWO_OPEN = Limits(open_campaigns=2)


async def created(store: Store, owner: str, limits: Limits = TWO_OPEN) -> str:
    record, is_new = await store.create_campaign(SPEC, "", owner=owner, limits=limits)
    assert is_new
    return record.id


async def claimed(store: Store, owner: str) -> AttackId:
    return (await claim(store, await created(store, owner))).id


async def test_a_campaign_keeps_its_owner(store: Store) -> None:
    anns, nobodys = await created(store, "ann"), (await create(store)).id
    assert (await store.get_campaign(anns)).owner == "ann"
    assert (await store.get_campaign(nobodys)).owner == ""
    assert [one.owner for one in await store.list_campaigns(10)] == ["", "ann"]
    await run(store, anns)
    assert (await store.get_campaign(anns)).owner == "ann"


async def test_open_campaigns_are_counted_by_owner_and_ended_ones_are_not(store: Store) -> None:
    first, second = await created(store, "ann"), await created(store, "ann")
    await run(store, first)
    await store.change_campaign_state(first, PAUSED, expected={RUNNING})
    with pytest.raises(QuotaExceededError) as refused:
        await created(store, "ann")
    assert refused.value.subject == "clients/ann"
    assert "may have 2 at a time" in refused.value.message
    await created(store, "bob")
    await store.change_campaign_state(second, CANCELLED, expected={CampaignState.PENDING})
    third = await created(store, "ann")
    with pytest.raises(QuotaExceededError):
        await store.change_campaign_state(second, RUNNING, expected={CANCELLED}, limits=TWO_OPEN)
    assert (await store.get_campaign(second)).state is CANCELLED
    # what is open already may be taken up again
    await store.change_campaign_state(first, RUNNING, expected={PAUSED}, limits=TWO_OPEN)
    await store.change_campaign_state(third, CANCELLED, expected={CampaignState.PENDING})
    await store.change_campaign_state(second, RUNNING, expected={CANCELLED}, limits=TWO_OPEN)


async def test_a_refused_campaign_leaves_nothing_and_a_known_request_is_answered(store: Store) -> None:
    one = Limits(open_campaigns=1)
    first, _ = await store.create_campaign(SPEC, "once", owner="ann", limits=one)
    again, is_new = await store.create_campaign(SPEC, "once", owner="ann", limits=one)
    assert (again.id, is_new) == (first.id, False)
    with pytest.raises(QuotaExceededError):
        await store.create_campaign(SPEC, "twice", owner="ann", limits=one)
    assert len(await store.list_campaigns(10)) == 1
    await store.change_campaign_state(first.id, CANCELLED, expected={CampaignState.PENDING})
    _, is_new = await store.create_campaign(SPEC, "twice", owner="ann", limits=one)
    assert is_new


async def test_campaigns_created_side_by_side_do_not_slip_through(store: Store) -> None:
    made = await asyncio.gather(*(created(store, "ann") for _ in range(8)), return_exceptions=True)
    refused = [one for one in made if isinstance(one, QuotaExceededError)]
    assert len(refused) == 6
    assert len(await store.list_campaigns(10)) == 2


async def test_a_days_queries_are_those_that_were_reserved(store: Store) -> None:
    anns, more, bobs = await claimed(store, "ann"), await claimed(store, "ann"), await claimed(store, "bob")
    assert await store.queries_today("ann") == 0
    await store.reserve_queries([QueryCount(anns, 10), QueryCount(more, 5), QueryCount(bobs, 2)])
    await store.settle_queries([QueryCount(anns, 10)])
    await store.reserve_queries([QueryCount(anns, 3)])
    assert await store.queries_today("ann") == 18
    assert await store.queries_today("bob") == 2
    assert await store.queries_today("") == 0
    sent = [(await store.ledger(attack)).sent for attack in (anns, more)]
    assert sum(sent) == 18
    # an attack that starts over, or does not end well, has used what it used
    await store.finish_attack(anns, AttackResult(Outcome.CANCELLED, ledger=Ledger(13)), None)
    await store.release_attack(more)
    assert await store.queries_today("ann") == 18


async def test_queries_that_were_not_reserved_are_not_counted(store: Store) -> None:
    held, given_back = await claimed(store, "ann"), await claimed(store, "ann")
    await store.release_attack(given_back)
    with pytest.raises(LeaseLostError):
        await store.reserve_queries([QueryCount(held, 4), QueryCount(given_back, 5)])
    assert await store.queries_today("ann") == 0


async def test_the_request_that_reaches_the_limit_is_the_last(store: Store) -> None:
    anns, bobs = await claimed(store, "ann"), await claimed(store, "bob")
    limits = {"ann": 10, "bob": 1000}
    await store.reserve_queries([QueryCount(anns, 9)], limits)
    await store.reserve_queries([QueryCount(anns, 6), QueryCount(bobs, 6)], limits)
    with pytest.raises(DayUsedUpError) as used_up:
        await store.reserve_queries([QueryCount(anns, 1), QueryCount(bobs, 1)], limits)
    assert used_up.value.owner == "ann"
    assert used_up.value.attacks == {anns}
    assert "its 10 queries of today" in used_up.value.message
    assert await store.queries_today("ann") == 15
    assert await store.queries_today("bob") == 6
    assert ((await store.ledger(anns)).sent, (await store.ledger(bobs)).sent) == (15, 6)
    await store.reserve_queries([QueryCount(bobs, 1)], limits)


async def test_each_day_has_its_own_count(store: Store) -> None:
    attack = await claimed(store, "ann")
    limits = {"ann": 10}
    await store.reserve_queries([QueryCount(attack, 10)], limits)
    with pytest.raises(DayUsedUpError):
        await created(store, "ann", Limits(queries_a_day=10))
    await next_day(store)
    assert await store.queries_today("ann") == 0
    await store.reserve_queries([QueryCount(attack, 7)], limits)
    await created(store, "ann", Limits(queries_a_day=10))
    assert await store.queries_today("ann") == 7
    assert (await store.ledger(attack)).sent == 17


async def test_nothing_is_lost_where_many_count_at_once(store: Store) -> None:
    attacks = [await claimed(store, "ann") for _ in range(2)]
    await asyncio.gather(*(store.reserve_queries([QueryCount(attacks[n % 2], 3)]) for n in range(40)))
    assert await store.queries_today("ann") == 120


async def test_a_day_of_a_target_is_never_exceeded(store: Store) -> None:
    await store.spend_day("targets/t", 6, 10)
    with pytest.raises(DayUsedUpError):
        await store.spend_day("targets/t", 5, 10)
    await store.spend_day("targets/t", 4, 10)
    await store.spend_day("targets/other", 1, 10)
    with pytest.raises(DayUsedUpError):
        await store.spend_day("targets/t", 1, 10)
