"""Does the orchestrator keep Triton busy? Its queries/s against a raw closed-loop client's, in turns.

Three attacks of 400 candidates a generation, without early stop, against three requests of 400 sparse
queries always in flight. Rounds of the two alternate, so that a noisy machine treats both alike.
"""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.images import load_image
from pixelprobe.model import CampaignImage, CampaignSpec, Region, SearchSettings

MODELS = ("allconv_cifar10", "vgg16_cifar10")
IN_FLIGHT = 3
CANDIDATES = 400
GENERATIONS = 4  # 3 x (5 x 400 + 1) queries a round
ROUNDS = 3
IMAGES = sorted((Path(__file__).parents[1] / "fixtures" / "cifar10").glob("*.png"))[:IN_FLIGHT]


@dataclass(frozen=True)
class Saturation:
    """Medians over the rounds, in queries a second."""

    model: str
    orchestrator: float
    raw: float

    def __str__(self) -> str:
        return (
            f"saturation, {self.model}: {self.orchestrator:.0f} queries/s through the orchestrator,"
            f" {self.raw:.0f} raw: ratio {self.orchestrator / self.raw:.2f} (wanted: at least 0.90)"
        )


def measure(client: PixelprobeClient, triton_address: str, model: str) -> Saturation:
    """Alternate the two for ROUNDS rounds, after one round each to warm up."""
    orchestrator, raw = [], []
    for round_number in range(ROUNDS + 1):
        orchestrator.append(through_orchestrator(client, model, round_number))
        raw.append(closed_loop(triton_address, model))
    return Saturation(model, statistics.median(orchestrator[1:]), statistics.median(raw[1:]))


def through_orchestrator(client: PixelprobeClient, model: str, seed: int) -> float:
    """Queries/s of a campaign, from its creation to its end."""
    digests = client.upload_images([load_image(path).pixels for path in IMAGES])
    spec = CampaignSpec(
        images=tuple(CampaignImage(digest) for digest in digests),
        targets=(model,),
        regions=(Region.WHOLE,),
        search=SearchSettings(population=CANDIDATES, generations=GENERATIONS, early_stop=False),
        seed=seed,
    )
    begin = time.monotonic()
    name = client.create_campaign(spec).name
    for _ in client.watch_campaign(name):
        pass
    return client.get_campaign(name).queries_sent / (time.monotonic() - begin)


def closed_loop(triton_address: str, model: str) -> float:
    """Queries/s with IN_FLIGHT requests of CANDIDATES one-pixel edits always under way."""
    rng = np.random.default_rng(0)
    image = load_image(IMAGES[0]).pixels
    arrays: dict[str, NDArray[Any]] = {
        "images": image[None],
        "image_index": np.zeros(CANDIDATES, np.int32),
        "edits": np.concatenate(
            [rng.integers(0, 32, (CANDIDATES, 1, 2)), rng.integers(0, 256, (CANDIDATES, 1, 3))], axis=2
        ).astype(np.int16),
        "classes": np.tile(np.arange(6, dtype=np.int32), (CANDIDATES, 1)),
    }
    types = {"uint8": "UINT8", "int16": "INT16", "int32": "INT32"}
    inputs = []
    for name, array in arrays.items():
        tensor = triton.InferInput(name, list(array.shape), types[array.dtype.name])
        tensor.set_data_from_numpy(array)
        inputs.append(tensor)
    outputs = [
        triton.InferRequestedOutput(name)
        for name in ("class_probabilities", "top_classes", "top_probabilities")
    ]
    requests = IN_FLIGHT * (GENERATIONS + 1)
    with triton.InferenceServerClient(triton_address) as server, ThreadPoolExecutor(IN_FLIGHT) as loop:
        begin = time.monotonic()
        list(loop.map(lambda _: server.infer(f"{model}_edits", inputs, outputs=outputs), range(requests)))
        return requests * CANDIDATES / (time.monotonic() - begin)
