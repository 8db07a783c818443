"""The same network served in different ways: an attack with the same seed finds the same edits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from pixelprobe_services.common.spec import CampaignImage, CampaignSpec
from pixelprobe_services.common.values import (
    AttackResult,
    CampaignState,
    Goal,
    Region,
    SearchSettings,
    image_digest,
)
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.targets.base import Target
from pixelprobe_services.orchestrator.targets.registry import load_targets, open_target
from tests.contract import zoo
from tests.integration.offline import offline
from tests.unit.targets.rest_servers import HEIGHT, LABELS, WIDTH, RestServers, serve

IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for seed in range(3)
]
COMMON = f"size = [{WIDTH}, {HEIGHT}]\nlabels = {list(LABELS)}\n"


@pytest.fixture(scope="module")
def triton(triton_venv: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with zoo.serving(triton_venv, tmp_path_factory.mktemp("zoo")) as addresses:
        yield addresses


def opened(file: Path, table: str) -> Target:
    file.write_text(f"[targets.it]\n{table}")
    return open_target(load_targets(file)["it"])


async def attacked(target: Target) -> list[AttackResult]:
    """The results of three one-pixel attacks on the target."""
    spec = CampaignSpec(
        images=tuple(CampaignImage(image_digest(image)) for image in IMAGES),
        targets=("it",),
        regions=(Region.WHOLE,),
        pixel_counts=(1,),
        goals=(Goal(),),
        search=SearchSettings(population=10, generations=4, early_stop=False),
    )
    try:
        async with offline(MemoryStore(), target=cast(Any, target)) as running:
            for image in IMAGES:
                await running.store.put_image(image_digest(image), image)
            created = await running.manager.create(spec, "", "")
            await running.until(created.id, CampaignState.SUCCEEDED)
            results = await running.results(created.id)
    finally:
        await target.close()
    assert all(results)
    return cast(list[AttackResult], results)


async def test_the_same_edits_whatever_the_way(triton: dict[str, str], tmp_path: Path) -> None:
    runner, rest = await serve(RestServers())
    (tmp_path / "tests").symlink_to(Path(__file__).parents[1])
    kserve = f'protocol = "kserve-grpc"\naddress = "{triton["grpc"]}"\n'
    ways = {
        "our contract": f'{kserve}model = "house"\n',
        "FP32 NCHW logits": f"""{kserve}model = "nchw_logits"\nlayout = "nchw"\ndtype = "fp32"
            scale = 0.00392156862745098\noutput_kind = "logits"\n""",
        "JSON, one image a call": f"""protocol = "json"\naddress = "{rest}"\noutput_kind = "percent"\n{COMMON}
            [targets.it.request]
            path = "/api/one"
            body = '{{"image_url": "data:image/png;base64,$image"}}'
            [targets.it.response]
            scores = "percent"
            """,
        "a Python callable": f"""protocol = "python"
            callable = "tests.unit.targets.rest_servers:network"\n{COMMON}""",
        "the best five alone": (
            f'{kserve}model = "top5"\noutput = "scores"\noutput_labels = "indices"\n{COMMON}'
        ),
    }
    try:
        found = {
            name: await attacked(opened(tmp_path / "targets.toml", table)) for name, table in ways.items()
        }
    finally:
        await runner.cleanup()
    for name, results in found.items():
        for one, expected in zip(results, found["our contract"], strict=True):
            assert one.answers == ("top_k" if name == "the best five alone" else "probabilities")
            assert (one.outcome, one.clean_top[0].class_index) == (
                expected.outcome,
                expected.clean_top[0].class_index,
            ), name
            if name != "the best five alone":  # whose bound ties what full answers tell apart
                assert one.edits == expected.edits, name
                assert one.best_top[0].probability == pytest.approx(
                    expected.best_top[0].probability, rel=1e-5
                )
