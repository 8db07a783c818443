"""How many queries a second a server answers now: measured by a short campaign of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pixelprobe.api import PixelprobeClient
from pixelprobe.model import (
    AttackFinished,
    AttackProgress,
    CampaignImage,
    CampaignSpec,
    Event,
    SearchSettings,
    Target,
)

PROBE_NAME = "rate probe"
PROBE_SECONDS = 2.0
"""Of answers, counted from when every target has given one: a model's first takes many times as long as the
next. A server that answers more slowly gets until there are two of them."""

PATIENCE_SECONDS = 20.0
PROBE_IMAGES = 8
"""Times the targets: so many attacks keep enough queries on their way."""

_SEARCH = SearchSettings(population=100, generations=100_000, early_stop=False)


def measure_rate(
    client: PixelprobeClient,
    images: Sequence[NDArray[np.uint8]],
    targets: Sequence[Target],
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Queries a second over all targets at once.

    Leaves a cancelled campaign named PROBE_NAME behind.

    Args:
        client: where to.
        images: some, (height, width, 3) uint8, in the targets' size.
        targets: to ask.
        clock: seconds.

    Returns:
        None if too few answers came in PATIENCE_SECONDS to tell.

    Raises:
        ServiceError: the campaign could not be started or followed.
    """
    digests = client.upload_images(images[:PROBE_IMAGES])
    spec = CampaignSpec(
        images=tuple(CampaignImage(digest) for digest in dict.fromkeys(digests)),
        targets=tuple(target.name for target in targets),
        search=_SEARCH,
        display_name=PROBE_NAME,
    )
    name = client.create_campaign(spec).name
    # The cancellation ends the watch too, which may be silent for longer than anybody wants to wait.
    stop = threading.Timer(PATIENCE_SECONDS, client.cancel_campaign, [name])
    stop.start()
    try:
        return _rate_of(client.watch_campaign(name), len(spec.targets), clock)
    finally:
        stop.cancel()
        client.cancel_campaign(name)


def _rate_of(events: Iterable[Event], targets: int, clock: Callable[[], float]) -> float | None:
    """The slope from the first answers of all targets to the last ones: what came before was on its way."""
    answered: dict[str, int] = {}
    warm: set[int] = set()
    first: tuple[float, int] | None = None
    for event in events:
        if isinstance(event, AttackFinished):
            return None  # nothing but the cancellation ends these attacks
        if isinstance(event, AttackProgress):
            answered[event.attack] = event.queries_sent
            # Attacks are numbered image by image, each at all targets in turn.
            warm.add(int(event.attack.rpartition("/")[2]) % targets)
            if len(warm) < targets:
                continue
            now, total = clock(), sum(answered.values())
            first = first or (now, total)
            if now - first[0] >= PROBE_SECONDS and total > first[1]:
                return (total - first[1]) / (now - first[0])
    return None
