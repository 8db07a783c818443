"""No slow, throttled, noisy or cached target looks robust: whole campaigns against targets with one fault."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from pixelprobe_services.common.values import CampaignState, Outcome, SearchSettings
from pixelprobe_services.orchestrator.attacks.run import REPEATS
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    RejectedError,
    Scores,
    TargetTimeoutError,
    TargetUnavailableError,
)
from tests.integration.offline import offline, spec, undisturbed, without_sent
from tests.unit.orchestrator.fakes import INFO, FakeTarget

SUCCEEDED = CampaignState.SUCCEEDED


class Slow(FakeTarget):
    """Ready, and in time with requests of ``in_time`` queries only."""

    def __init__(self, in_time: int) -> None:
        super().__init__()
        self.in_time = in_time

    async def query(self, batch: QueryBatch) -> Scores:
        if len(batch) > self.in_time:
            self.batches.append(batch)
            raise TargetTimeoutError("fake: no answer within 3 s")
        return await super().query(batch)


async def test_a_target_that_answers_only_single_queries_in_time_is_an_error_and_no_failure() -> None:
    """The clean image is answered, no candidate ever: 0% success of such attacks would be a lie."""

    class OnlyFirst(Slow):
        async def query(self, batch: QueryBatch) -> Scores:
            clean = (batch.edits[0, 0, :2] == 0).all() and len(batch) == 1 and not self.in_time
            self.in_time = 1 if clean else 0
            try:
                return await super().query(batch)
            finally:
                self.in_time = 0

    async with offline(MemoryStore(), target=OnlyFirst(0), patience_seconds=0) as running:
        campaign_id = await running.create(spec(budget=60))
        await running.until(campaign_id, SUCCEEDED)
        for result in await running.results(campaign_id):
            assert result is not None
            assert result.outcome is Outcome.ERROR
            assert "no answer within 3 s" in result.reason or "no candidate was answered" in result.reason
            assert "max_batch" in result.reason
            assert "timeout_seconds" in result.reason
            assert result.ledger.timed_out > 0
        progress = await running.store.progress(campaign_id)
        assert progress.ledger.timed_out == progress.ledger.sent - (progress.ledger.answered or 0)


async def test_a_slow_target_gives_the_results_of_a_fast_one() -> None:
    target = Slow(7)
    async with offline(MemoryStore(), target=target) as running:
        campaign_id = await running.create()
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
        assert [without_sent(one) for one in results] == [without_sent(one) for one in await undisturbed()]
        ledger = (await running.store.progress(campaign_id)).ledger
    assert ledger.timed_out > 0
    assert ledger.retries == ledger.timed_out
    assert ledger.sent == (ledger.answered or 0) + ledger.timed_out
    assert target.answered == ledger.answered


async def test_a_throttled_target_gives_the_same_results_and_rejections_are_no_queries() -> None:
    class Throttled(FakeTarget):
        rejects = itertools.cycle([False, False, True])

        async def query(self, batch: QueryBatch) -> Scores:
            if next(self.rejects):
                raise RejectedError("fake: HTTP 429", retry_after_seconds=0.001)
            return await super().query(batch)

    async with offline(MemoryStore(), target=Throttled()) as running:
        campaign_id = await running.create()
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
        calm = await undisturbed()
        assert [without_sent(one) for one in results] == [without_sent(one) for one in calm]
        assert [one and one.ledger.sent for one in results] == [one and one.ledger.sent for one in calm]
        ledger = (await running.store.progress(campaign_id)).ledger
    assert ledger.rejected > 0
    assert ledger.sent == ledger.answered


async def test_a_target_with_all_faults_at_once_gives_the_results_of_a_calm_one() -> None:
    class Shaky(FakeTarget):
        faults = itertools.cycle(
            [None] * 5
            + [TargetTimeoutError("fake: no answer")]
            + [None] * 4
            + [TargetUnavailableError("fake: connection reset")]
            + [None] * 3
            + [RejectedError("fake: queue full")]
            + [None] * 6
            + [RejectedError("fake: HTTP 429", retry_after_seconds=0.01)]
        )

        async def query(self, batch: QueryBatch) -> Scores:
            fault = next(self.faults)
            if fault is not None:
                raise fault
            return await super().query(batch)

    async with offline(MemoryStore(), target=Shaky()) as running:
        campaign_id = await running.create()
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
        assert [without_sent(one) for one in results] == [without_sent(one) for one in await undisturbed()]
        ledger = (await running.store.progress(campaign_id)).ledger
    assert ledger.sent == (ledger.answered or 0) + ledger.timed_out
    assert ledger.rejected > 0
    assert ledger.timed_out > 0
    assert ledger.retries > 0
    assert running.target.answered == ledger.answered


async def test_a_target_that_rejects_for_ever_is_waited_for_with_its_reason() -> None:
    def reject(batch: int) -> None:
        if batch > 2:
            raise RejectedError("fake: HTTP 429: come back later", retry_after_seconds=3600)

    target = FakeTarget(reject)
    async with offline(MemoryStore(), target=target, patience_seconds=0) as running:
        campaign_id = await running.create()
        waiting = await running.until(campaign_id, CampaignState.WAITING, CampaignState.PAUSED)
        assert "come back later" in waiting.state_reason
        assert "it is asked again at" in waiting.state_reason
        assert len(target.batches) <= 2 + INFO.max_in_flight
        ledger = (await running.store.progress(campaign_id)).ledger
        assert ledger.rejected > 0
        assert ledger.sent == ledger.answered
        await running.manager.cancel(campaign_id)


async def test_one_answer_to_every_image_is_an_error() -> None:
    class Cached(FakeTarget):
        async def query(self, batch: QueryBatch) -> Scores:
            scores = await super().query(batch)
            return Scores(
                np.full_like(scores.class_probabilities, 0.75),
                np.tile(np.arange(5, dtype=np.int32), (len(batch), 1)),
                np.tile(np.array([0.75, 0.1, 0.05, 0.05, 0.05], dtype=np.float32), (len(batch), 1)),
            )

    async with offline(MemoryStore(), target=Cached()) as running:
        search = SearchSettings(population=80, generations=3)
        campaign_id = await running.create(spec(search=search))
        await running.until(campaign_id, SUCCEEDED)
        for result in await running.results(campaign_id):
            assert result is not None
            if result.outcome is not Outcome.NOT_APPLICABLE:
                assert result.outcome is Outcome.ERROR
                assert "the same answer to every image" in result.reason


class Noisy(FakeTarget):
    """Gives another class in every ``period``-th query, whatever the image."""

    def __init__(self, period: int) -> None:
        super().__init__(info=replace(INFO, deterministic=False))
        self._period = period
        self._numbers = itertools.count(1)

    async def query(self, batch: QueryBatch) -> Scores:
        scores = await super().query(batch)
        top = scores.top_classes.copy()
        for row in range(len(batch)):
            if next(self._numbers) % self._period == 0:
                top[row, 0], top[row, 1] = top[row, 1], top[row, 0]
        return Scores(scores.class_probabilities, top, scores.top_probabilities)


async def test_noise_is_no_success() -> None:
    """A class that changes by itself once in 7 queries: nothing that holds is found by it."""
    async with offline(MemoryStore(), target=Noisy(7)) as running:
        campaign_id = await running.create()
        await running.until(campaign_id, SUCCEEDED)
        noisy = await running.results(campaign_id)
        calm = await undisturbed()
        for one, other in zip(noisy, calm, strict=True):
            assert one is not None
            assert other is not None
            assert one.clean_held is not None
            assert one.clean_held.asked == REPEATS
            if one.clean_held.held < REPEATS:
                assert one.outcome is Outcome.NOT_APPLICABLE
                assert f"only {one.clean_held.held} of {REPEATS} queries" in one.reason
            elif one.outcome is Outcome.SUCCESS:
                assert other.outcome is Outcome.SUCCESS
                assert one.success_held is not None
                assert one.success_held.held == one.success_held.asked == REPEATS


@pytest.mark.parametrize(
    ("deterministic", "repeats", "extra"), [(True, None, 0), (False, 1, 0), (True, 4, 3)]
)
async def test_repeats_follow_the_target_and_the_campaign(
    deterministic: bool, repeats: int | None, extra: int
) -> None:
    target = FakeTarget(info=replace(INFO, deterministic=deterministic))
    async with offline(MemoryStore(), target=target) as running:
        campaign_id = await running.create(spec(repeats=repeats))
        await running.until(campaign_id, SUCCEEDED)
        results = await running.results(campaign_id)
        for one, other in zip(results, await undisturbed(), strict=True):
            assert one is not None
            assert other is not None
            assert (one.outcome, one.edits, one.fitness_by_generation) == (
                other.outcome,
                other.edits,
                other.fitness_by_generation,
            )
            confirmed = one.ledger.sent - other.ledger.sent - extra
            if extra and one.outcome is Outcome.SUCCESS:  # each better one is asked for again as well
                assert confirmed >= extra + 1
                assert confirmed % (extra + 1) == 0
            else:
                assert confirmed == 0
            assert one.ledger == replace(other.ledger, sent=one.ledger.sent, answered=one.ledger.answered)
            assert one.ledger.answered == one.ledger.sent
