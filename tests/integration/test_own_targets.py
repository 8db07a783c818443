"""``up --targets``: the operator's own targets beside those that the local stack serves."""

from __future__ import annotations

import json
from pathlib import Path

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from tests.stacks import Stack


def names(orchestrator: str) -> set[str]:
    with PixelprobeClient(Addresses(orchestrator, "127.0.0.1:1")) as client:
        return {target.name for target in client.list_targets()}


def processes_of(stack: Stack) -> dict[str, int]:
    record = json.loads((stack.home / "stack.json").read_text())
    return {name: record[name]["pid"] for name in ("triton", "segmentation", "orchestrator")}


def test_own_targets_join_and_stay(fresh_stack: Stack, tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[targets.mine]\nprotocol = "kserve-grpc"\naddress = "127.0.0.1:1"\n')

    started = fresh_stack("up", "--free-ports", "--targets", str(own), "--json")
    assert started.returncode == 0, started.stderr
    orchestrator = json.loads(started.stdout)["orchestrator"]["grpc"]
    assert names(orchestrator) == {"allconv_cifar10", "nin_cifar10", "vgg16_cifar10", "mine"}
    first = processes_of(fresh_stack)

    assert fresh_stack("up", "--free-ports").returncode == 0
    assert processes_of(fresh_stack) == first, "what is asked for runs already"

    other = tmp_path / "other.toml"
    other.write_text(own.read_text().replace("mine", "another"))
    again = fresh_stack("up", "--free-ports", "--targets", str(other))
    assert again.returncode == 0, again.stderr
    assert names(orchestrator) == {"allconv_cifar10", "nin_cifar10", "vgg16_cifar10", "another"}
    now = processes_of(fresh_stack)
    assert now["orchestrator"] != first["orchestrator"]
    assert (now["triton"], now["segmentation"]) == (first["triton"], first["segmentation"])
