"""The worked examples of docs/targets.md can be loaded and opened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pixelprobe_services.orchestrator.targets.config import PROTOCOLS
from pixelprobe_services.orchestrator.targets.registry import load_targets, open_target

DOCUMENT = Path(__file__).parents[3] / "docs" / "targets.md"
EXAMPLES = [
    block
    for block in re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    if "[targets." in block
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: text.split('"')[1])
async def test_an_example_is_a_target(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_AUTHORIZATION", "Bearer hf_x")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "api-key").write_text("key\n")
    file = tmp_path / "targets.toml"
    file.write_text(example)
    target = open_target(load_targets(file)["mine"])
    await target.close()


def test_every_protocol_has_one() -> None:
    shown = set(re.findall(r'protocol = "([^"]*)"', "".join(EXAMPLES)))
    assert shown == set(PROTOCOLS)


def test_what_the_preset_stands_for_is_what_it_says(tmp_path: Path) -> None:
    (written,) = re.findall(r"The preset stands for\n\n```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    head = '[targets.{}]\nprotocol = "kserve-grpc"\naddress = "h:1"\n'
    file = tmp_path / "targets.toml"
    file.write_text(head.format("a") + written + head.format("b") + 'preset = "torchvision"\n')
    one, other = load_targets(file).values()
    assert one.steps is not None
    assert other.steps is not None
    assert one.steps.scale == pytest.approx(other.steps.scale, rel=1e-15)
    assert one.output_kind == other.output_kind == "logits"
    assert (one.steps.layout, one.steps.dtype, one.steps.mean, one.steps.std) == (
        other.steps.layout,
        other.steps.dtype,
        other.steps.mean,
        other.steps.std,
    )
