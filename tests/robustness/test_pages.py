"""A page of very long results ends early, and the next continues where it ended."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import AttackResult, Goal, Outcome, Region
from pixelprobe_services.orchestrator import servicer as servicer_module
from pixelprobe_services.orchestrator.servicer import AttackServicer
from pixelprobe_services.orchestrator.store.memory import MemoryStore

ATTACKS, HISTORY = 10, 5000
RESULT = AttackResult(Outcome.FAILURE, fitness_by_generation=(0.5,) * HISTORY)


async def test_pages_are_bounded_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicer_module, "MAX_PAGE_BYTES", 50_000)  # two and a half histories
    store = MemoryStore()
    images = tuple(CampaignImage(f"{number:064x}") for number in range(ATTACKS))
    spec = CampaignSpec(images, ("toy",), (Region.WHOLE,), (1,), (Goal(),))
    campaign, _ = await store.create_campaign(spec, "")
    for _ in range(ATTACKS):
        attack = await store.claim_attack(campaign.id)
        assert attack
        await store.finish_attack(attack.id, RESULT, None)

    servicer = AttackServicer(store, Mock(), Mock())
    context: Any = Mock()
    token, pages = "", list[list[int]]()
    while not pages or token:
        request = pb.ListResultsRequest(parent=f"campaigns/{campaign.id}", page_token=token)
        page = await servicer.ListResults(request, context)
        pages.append([attack.image_index for attack in page.attacks])
        token = page.next_page_token
    assert pages == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
