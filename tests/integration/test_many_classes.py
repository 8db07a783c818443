"""Targets with more classes than a search follows: what a failed attack reports about the clean ones."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest

from pixelprobe_services.common.values import AttackResult, CampaignState, Outcome, Region
from pixelprobe_services.orchestrator.attacks.questions import FEW_CLASSES
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import QueryBatch
from tests.integration.offline import IMAGES, offline, spec
from tests.unit.orchestrator.fakes import INFO, FakeTarget, score

MANY = replace(INFO, classes=FEW_CLASSES + 4)


def is_failure(result: AttackResult) -> bool:
    return result.outcome is Outcome.FAILURE


async def results(classes: int, budget: int | None = None) -> tuple[list[AttackResult], int]:
    """Of a campaign in the foreground, and how many queries the target answered."""
    target = FakeTarget(info=replace(MANY, classes=classes))
    async with offline(MemoryStore(), target=target) as running:
        wanted = spec(regions=(Region.FOREGROUND,), budget=budget)
        campaign_id = await running.create(wanted)
        await running.until(campaign_id, CampaignState.SUCCEEDED)
        return [one for one in await running.results(campaign_id) if one], target.answered


@pytest.mark.parametrize("classes", [FEW_CLASSES, MANY.classes])
async def test_failures_tell_what_became_of_the_clean_classes(classes: int) -> None:
    found, answered = await results(classes)
    failed = [(image, one) for image, one in zip(IMAGES, found, strict=True) if is_failure(one)]
    assert failed
    for image, one in failed:
        edits = [[astuple(edit) for edit in one.edits]]
        clean = [[top.class_index for top in one.clean_top]]
        asked = QueryBatch(
            image[None], np.zeros(1, np.int32), np.array(edits, np.int16), np.array(clean, np.int32)
        )
        assert one.best_probability_of_clean_top == pytest.approx(
            score(asked, classes).class_probabilities[0]
        )
    assert answered == sum(one.ledger.sent for one in found), "the last query is counted as any other"


async def test_no_query_beyond_the_budget_is_sent_for_it() -> None:
    free, _ = await results(MANY.classes)
    spent = min(one.ledger.sent for one in free if is_failure(one))
    found, answered = await results(MANY.classes, budget=spent - 1)
    assert all(one.ledger.sent <= spent - 1 for one in found)
    assert answered == sum(one.ledger.sent for one in found)
    exact = next(
        one
        for one, other in zip(found, free, strict=True)
        if is_failure(other) and other.ledger.sent == spent
    )
    assert exact.outcome is Outcome.FAILURE
    assert exact.best_probability_of_clean_top == ()
