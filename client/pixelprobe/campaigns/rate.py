"""Measuring how many queries a second a server answers, by a short campaign within a budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.follow import cancel_and_wait
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    CampaignImage,
    CampaignSpec,
    Event,
    Outcome,
    SearchSettings,
    Target,
)
from pixelprobe_services.common.values import MAX_GENERATIONS, MIN_POPULATION

PROBE_NAME = "rate probe"
PROBE_SECONDS = 2.0
"""Measured from when every target has answered: a model's first answer takes many times as long as the next.
A server that answers more slowly is measured until its second answer."""

PATIENCE_SECONDS = 20.0
PROBE_IMAGES = 8
"""For each target, enough attacks to keep the server busy."""

MOST_POPULATION = 100
QUERIES_EACH = 200
"""At least so many for each attack, where the budget allows: a rate takes several generations."""


def measure_rate(
    client: PixelprobeClient,
    images: Sequence[NDArray[np.uint8]],
    targets: Sequence[Target],
    most_queries: int,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Return the queries a second over all targets at once.

    The campaign that measures it is deleted afterwards.

    Args:
        client: of the server.
        images: some images, (height, width, 3) uint8, in the targets' size.
        targets: to query.
        most_queries: budget of all targets together.
        clock: seconds.

    Returns:
        None if there were too few answers within the budget or PATIENCE_SECONDS.

    Raises:
        ServiceError: the campaign could not be started or followed.
    """
    number = max(1, min(PROBE_IMAGES, most_queries // (len(targets) * QUERIES_EACH)))
    budget = most_queries // (number * len(targets))
    if budget < 1:
        return None
    population = max(MIN_POPULATION, min(MOST_POPULATION, budget // 10))
    digests = client.upload_images(images[:number])
    spec = CampaignSpec(
        images=tuple(CampaignImage(digest) for digest in dict.fromkeys(digests)),
        targets=tuple(target.name for target in targets),
        search=SearchSettings(population=population, generations=MAX_GENERATIONS, early_stop=False),
        budget=budget,
        display_name=PROBE_NAME,
    )
    name = client.create_campaign(spec).name
    # A watch can be silent for longer than PATIENCE_SECONDS; the cancellation ends it.
    stop = threading.Timer(PATIENCE_SECONDS, client.cancel_campaign, [name])
    stop.start()
    try:
        return _rate_of(client.watch_campaign(name), len(spec.targets), clock)
    finally:
        stop.cancel()
        cancel_and_wait(client, name)
        client.delete_campaign(name)


def _rate_of(events: Iterable[Event], targets: int, clock: Callable[[], float]) -> float | None:
    """Return the slope from the first answers of all targets to the last: earlier ones include start-up."""
    sent: dict[str, int] = {}
    first: tuple[float, int] | None = None
    rate: float | None = None
    for event in events:
        if isinstance(event, AttackProgress):
            sent[event.attack] = event.queries_sent
        elif isinstance(event, AttackFinished) and event.attack.result is not None:
            sent[event.attack.name] = event.attack.result.queries_sent
            if event.attack.result.outcome is not Outcome.BUDGET_EXHAUSTED:
                return rate
        else:
            continue
        # Attacks are numbered image by image, each at all targets in turn.
        warm = {int(name.rpartition("/")[2]) % targets for name in sent}
        if len(warm) < targets:
            continue
        now, total = clock(), sum(sent.values())
        first = first or (now, total)
        if total > first[1] and now > first[0]:
            rate = (total - first[1]) / (now - first[0])
            if now - first[0] >= PROBE_SECONDS:
                return rate
    return rate
