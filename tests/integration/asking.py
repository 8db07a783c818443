"""Helpers of these tests: pick images, run a campaign, query Triton directly."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_image
from pixelprobe.model import Attack, CampaignImage, CampaignSpec, MaskSettings, Region, SearchSettings

IMAGES = sorted((Path(__file__).parents[1] / "fixtures" / "cifar10").glob("*.png"))
CLASSIFIERS = ("allconv_cifar10", "nin_cifar10", "vgg16_cifar10")
SMALL = SearchSettings(population=40, generations=3)


def write_targets(path: Path, triton_address: str) -> Path:
    """Write a targets file with the three classifiers and ``whole``: AllConv, queried with whole images."""
    tables = [
        f'[targets.{name}]\nprotocol = "kserve-grpc"\naddress = "{triton_address}"\n' for name in CLASSIFIERS
    ]
    tables.append(
        f'[targets.whole]\nprotocol = "kserve-grpc"\naddress = "{triton_address}"\n'
        'model = "allconv_cifar10"\nsparse = "never"\n'
    )
    path.write_text("\n".join(tables))
    return path


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """(32, 32, 3) uint8."""
    return load_image(path).pixels


def label_of(path: Path) -> int:
    """The class in a fixture's name."""
    return int(path.name[:2])


def campaign(
    client: PixelprobeClient,
    images: Sequence[Path],
    *,
    targets: tuple[str, ...] = ("allconv_cifar10",),
    regions: tuple[Region, ...] = (Region.WHOLE, Region.FOREGROUND, Region.BACKGROUND),
    pixel_counts: tuple[int, ...] = (1,),
    search: SearchSettings = SMALL,
    **more: object,
) -> list[Attack]:
    """Run a campaign to its end. Returns its attacks in the spec's order, all finished."""
    name = start(
        client,
        images,
        targets=targets,
        regions=regions,
        pixel_counts=pixel_counts,
        search=search,
        **more,
    )
    for _ in client.watch_campaign(name):
        pass
    return list(client.list_results(name))


def start(client: PixelprobeClient, paths: Sequence[Path], **spec: object) -> str:
    """Create a campaign and return its name. Masks that need review are used."""
    digests = client.upload_images([pixels_of(path) for path in paths])
    images = tuple(CampaignImage(digest, path.name) for digest, path in zip(digests, paths, strict=True))
    settings = {"masks": MaskSettings(accept_unreviewed=True), **spec}
    return client.create_campaign(CampaignSpec(images=images, **settings)).name  # type: ignore[arg-type]


def comparable(attack: Attack) -> tuple[object, ...]:
    """Return the fields of an attack that must not depend on when it ran, or on what ran beside it."""
    result = attack.result
    assert result is not None
    mask = None if result.mask is None else result.mask.tobytes()
    return (
        attack.image_index, attack.target, attack.region, attack.pixels, attack.target_class,
        result.outcome, result.reason, result.clean_top, result.best_top,
        result.best_probability_of_clean_top, result.edits, result.queries_sent, result.queries_skipped,
        result.queries_repeated, result.generations, result.queries_to_success,
        result.fitness_by_generation, mask,
    )  # fmt: skip


def edited(pixels: NDArray[np.uint8], attack: Attack) -> NDArray[np.uint8]:
    """The adversarial image, painted pixel by pixel."""
    assert attack.result is not None
    painted = pixels.copy()
    for edit in attack.result.edits:
        painted[edit.y, edit.x] = (edit.red, edit.green, edit.blue)
    return painted


def ask_triton(address: str, model: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, 10) probabilities of (n, 32, 32, 3) images, straight from the server."""
    with triton.InferenceServerClient(address) as server:
        tensor = triton.InferInput("image", list(images.shape), "UINT8")
        tensor.set_data_from_numpy(images)
        answer: NDArray[np.float32] = server.infer(model, [tensor]).as_numpy("probabilities")
    return answer


def settled(count: Callable[[], int]) -> int:
    """Return the count once it is stable: Triton counts a request just after it answered it."""
    before, now = -1, count()
    while now != before:
        time.sleep(0.3)
        before, now = now, count()
    return now


def images_scored(http_address: str, model: str) -> int:
    """Return Triton's own inference count of a model: one for each image of a batch."""
    with urllib.request.urlopen(f"http://{http_address}/v2/models/{model}/stats", timeout=10) as answer:
        return int(json.load(answer)["model_stats"][0]["inference_count"])


def queries_scored(metrics_address: str, model: str) -> int:
    """Return the number of queries that a model scored, from the counter in Triton's metrics."""
    with urllib.request.urlopen(f"http://{metrics_address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(rf'^pixelprobe_queries_total{{model="{model}"}} (\S+)$', text, re.MULTILINE)
    assert found, f"no counter of {model} in Triton's metrics"
    return int(float(found.group(1)))
