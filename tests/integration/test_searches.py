"""Every search on a real served classifier: its successes hold, exact is exact, and seeds mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from pixelprobe.api import PixelprobeClient
from pixelprobe.model import CampaignImage, CampaignSpec, Goal, Outcome, Region, SearchSettings, Strategy
from tests.integration.asking import IMAGES, ask_triton, campaign, comparable, edited, pixels_of

TARGET = "nin_cifar10"
ONE_PIXEL_ONLY = (Strategy.CORNER_SCAN, Strategy.SKETCH)
CORNERS = [(red, green, blue) for red in (0, 255) for green in (0, 255) for blue in (0, 255)]


@pytest.mark.parametrize("strategy", Strategy)
def test_successes_hold_and_do_not_depend_on_what_runs_beside_them(
    client: PixelprobeClient, local_triton: dict[str, str], strategy: Strategy
) -> None:
    paths = IMAGES[:3]
    pixel_counts = (1,) if strategy in ONE_PIXEL_ONLY else (1, 3)
    settings = {
        "targets": (TARGET,),
        "regions": (Region.WHOLE,),
        "pixel_counts": pixel_counts,
        "search": SearchSettings(strategy=strategy, population=40, generations=6),
        "budget": 250,
        "seed": 4,
    }
    attacks = campaign(client, paths, **settings)  # type: ignore[arg-type]
    assert len(attacks) == len(paths) * len(pixel_counts)
    for attack in attacks:
        assert attack.result is not None
        assert attack.result.outcome in (Outcome.SUCCESS, Outcome.FAILURE, Outcome.BUDGET_EXHAUSTED)
        assert attack.result.queries_sent <= 250
        if attack.result.outcome is not Outcome.SUCCESS:
            continue
        clean = pixels_of(paths[attack.image_index])
        scores = ask_triton(local_triton["grpc"], TARGET, np.stack([clean, edited(clean, attack)]))
        assert scores[0].argmax() != scores[1].argmax()
    alone = campaign(client, paths[1:2], **settings)  # type: ignore[arg-type]
    among = [attack for attack in attacks if attack.image_index == 1]
    assert [comparable(attack)[1:] for attack in alone] == [comparable(attack)[1:] for attack in among]


@pytest.mark.parametrize("index", range(4))
def test_a_corner_scan_is_exact(client: PixelprobeClient, local_triton: dict[str, str], index: int) -> None:
    """Against every corner colour of every pixel of a small foreground, asked of the classifier itself."""
    image = pixels_of(IMAGES[index])
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[14:17, 12:16] = True
    rows, columns = np.nonzero(mask)
    painted = np.repeat(image[None], len(rows) * len(CORNERS), axis=0)
    for number, (row, column) in enumerate(zip(rows, columns, strict=True)):
        for corner, colour in enumerate(CORNERS):
            painted[number * len(CORNERS) + corner, row, column] = colour
    clean = ask_triton(local_triton["grpc"], TARGET, image[None])[0].argmax()
    answers = [ask_triton(local_triton["grpc"], TARGET, part) for part in np.array_split(painted, 4)]
    fooled = bool((np.concatenate(answers).argmax(axis=1) != clean).any())

    (digest,) = client.upload_images([image])
    spec = CampaignSpec(
        images=(CampaignImage(digest, mask=mask),),
        targets=(TARGET,),
        regions=(Region.FOREGROUND,),
        pixel_counts=(1,),
        goals=(Goal(),),
        search=SearchSettings(strategy=Strategy.CORNER_SCAN),
    )
    name = client.create_campaign(spec).name
    for _ in client.watch_campaign(name):
        pass
    (attack,) = client.list_results(name)
    assert attack.result is not None
    if fooled:
        assert attack.result.outcome is Outcome.SUCCESS
    else:
        assert attack.result.outcome is Outcome.FAILURE
        candidates = int((painted != image).any(axis=(1, 2, 3)).sum())
        said = f"no corner colour of any pixel of the region fools this image (all {candidates} tried)"
        assert attack.result.reason == said
        assert attack.result.queries_sent == candidates + 1
