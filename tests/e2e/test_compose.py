"""The containers: healthy in time, of use from outside, locked down, small; state outlives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.inside import CLOSED_APIS, CLOSED_RPCS, CONTENTS, PROCESS, SCORED, SERVED
from tests.e2e.stack import IMAGES, ROOT, SERVICES, ComposeStack

CLASSIFIERS = {"allconv_cifar10", "nin_cifar10", "vgg16_cifar10"}
IMAGE = ROOT / "client" / "pixelprobe" / "samples" / "03_cat_000024.png"
PHOTOGRAPH = ROOT / "client" / "pixelprobe" / "samples" / "photographs" / "coffee.jpg"
HEALTHY_WITHIN_SECONDS = 90
LARGEST_SERVICE_IMAGE = 400_000_000
"""The orchestrator's is 379 MB: its adapters resize and encode images (Pillow), pydantic reads its files."""


def queries_scored(stack: ComposeStack) -> int:
    """By Triton's own counters; read inside its container, because it is not published."""
    before, now = -1.0, float(stack.python("triton", SCORED))
    while now != before:  # it counts a request just after it was answered
        before, now = now, float(stack.python("triton", SCORED))
    return int(now)


def attack(stack: ComposeStack, out: Path, *more: str) -> list[dict[str, Any]]:
    """A small attack on every classifier through the CLI."""
    targets = [word for name in sorted(CLASSIFIERS) for word in ("--target", name)]
    search = ("--population", "40", "--generations", "3", "--budget", "150")
    printed = stack.pixelprobe(
        "attack", str(IMAGE), *targets, *search, *more, "--accept-masks", "--out", str(out), "--json"
    )
    records: list[dict[str, Any]] = json.loads(printed)
    return records


def test_stack_is_healthy_in_time(stack: ComposeStack) -> None:
    print(f"healthy after {stack.seconds_to_healthy:.1f} s")
    assert stack.seconds_to_healthy < HEALTHY_WITHIN_SECONDS
    health = {name: stack.first_states[name]["Health"]["Status"] for name in SERVICES}
    assert health == dict.fromkeys(SERVICES, "healthy")
    assert stack.first_states["models"]["ExitCode"] == 0


def test_each_part_started_after_the_one_before(stack: ComposeStack) -> None:
    states = stack.first_states
    assert states["models"]["FinishedAt"] < states["triton"]["StartedAt"]
    assert states["triton"]["StartedAt"] < states["segmentation"]["StartedAt"]
    assert states["segmentation"]["StartedAt"] < states["orchestrator"]["StartedAt"]


def test_attacks_from_outside_and_triton_counts_what_they_report(stack: ComposeStack, tmp_path: Path) -> None:
    listed = json.loads(stack.pixelprobe("targets", "list", "--json"))
    assert {target["name"] for target in listed} == CLASSIFIERS
    before = queries_scored(stack)

    records = attack(stack, tmp_path, "--region", "whole", "--region", "foreground", "--pixels", "5")

    assert len(records) == 2 * len(CLASSIFIERS)
    assert {record["outcome"] for record in records} <= {"success", "failure", "budget_exhausted"}
    assert all(1 < record["queries_sent"] <= 150 for record in records)
    assert all(record["mask_area_fraction"] for record in records if record["region"] == "foreground")
    assert queries_scored(stack) - before == sum(record["queries_sent"] for record in records)


def test_same_seed_same_results_after_everything_was_made_anew(stack: ComposeStack, tmp_path: Path) -> None:
    def results() -> list[dict[str, Any]]:
        records = attack(stack, tmp_path, "--seed", "7")
        return [
            {key: value for key, value in record.items() if not key.endswith("_path")} for record in records
        ]

    before = results()
    campaigns = json.loads(stack.pixelprobe("campaign", "list", "--json"))

    stack("up", "--detach", "--wait", "--force-recreate", seconds=300)

    assert json.loads(stack.pixelprobe("campaign", "list", "--json")) == campaigns
    assert results() == before


def test_photographs_get_masks_by_u2net_unless_the_build_could_not_fetch_it(
    stack: ComposeStack, tmp_path: Path
) -> None:
    served = json.loads(stack.python("triton", SERVED))
    printed = stack.pixelprobe("segment", str(PHOTOGRAPH), "--out", str(tmp_path), "--json")
    (record,) = json.loads(printed)
    assert record["segmenter"] == ("u2net" if "u2net" in served else "grabcut")


@pytest.mark.parametrize("service", SERVICES)
def test_process_has_no_power(stack: ComposeStack, service: str) -> None:
    process = json.loads(stack.python(service, PROCESS))

    assert set(process["Uid"].split() + process["Gid"].split()) == {"10001"}
    assert {int(process[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert process["NoNewPrivs"] == "1"
    assert process["Seccomp"] == "2"
    assert len(process["unwritable"]) == 4


@pytest.mark.parametrize("service", ["models", *SERVICES])
def test_container_is_bounded(stack: ComposeStack, service: str) -> None:
    host = stack.container(service).attrs["HostConfig"]

    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert 0 < host["Memory"] <= 4 * 2**30
    assert 0 < host["PidsLimit"] <= 2048
    assert host["LogConfig"]["Config"]["max-size"] == "10m"
    if service == "triton":
        assert host["ShmSize"] == 256 * 2**20


def test_only_the_services_are_published_and_only_on_loopback(stack: ComposeStack) -> None:
    published = {
        name: [
            (binding["HostIp"], int(binding["HostPort"]))
            for bindings in stack.container(name).attrs["NetworkSettings"]["Ports"].values()
            for binding in bindings or []
        ]
        for name in SERVICES
    }
    assert published == {
        "triton": [],
        "segmentation": [("127.0.0.1", stack.ports["segmentation"])],
        "orchestrator": [("127.0.0.1", stack.ports["orchestrator"])],
    }


def test_triton_is_on_an_internal_network_alone_and_the_other_leads_nowhere(
    stack: ComposeStack, engine: docker.DockerClient
) -> None:
    networks = stack.container("triton").attrs["NetworkSettings"]["Networks"]
    assert set(networks) == {f"{stack.project}_backend"}
    assert engine.networks.get(f"{stack.project}_backend").attrs["Internal"]
    edge = engine.networks.get(f"{stack.project}_edge").attrs["Options"]
    assert edge["com.docker.network.bridge.enable_ip_masquerade"] == "false"


def test_triton_refuses_what_no_client_needs(stack: ComposeStack) -> None:
    answers = json.loads(stack.python("orchestrator", CLOSED_APIS))
    opened = ["/v2/health/ready", "/v2/models/vgg16_cifar10", "/v2/models/vgg16_cifar10/config"]
    assert [path for path, status in answers.items() if status == 200] == opened

    details = json.loads(stack.python("orchestrator", CLOSED_RPCS))
    assert len(details) == 6
    assert [name for name, text in details.items() if "restricted" not in text] == []


@pytest.mark.parametrize(
    ("service", "packages"),
    [("segmentation", ["cv2"]), ("orchestrator", ["scipy", "sqlalchemy"])],
)
def test_service_image_is_small_and_holds_no_model(
    stack: ComposeStack, engine: docker.DockerClient, service: str, packages: list[str]
) -> None:
    image = engine.images.get(f"pixelprobe-{service}:local")
    print(f"{service}: {image.attrs['Size'] / 1e6:.0f} MB")
    assert image.attrs["Size"] < LARGEST_SERVICE_IMAGE
    contents = json.loads(stack.python(service, CONTENTS))
    assert contents["packages"] == packages
    assert contents["weights"] == []
    assert [program for program in contents["programs"] if not program.startswith("py")] == []


@pytest.mark.parametrize("name", IMAGES)
def test_image_starts_as_a_plain_user_without_a_shell(
    stack: ComposeStack, engine: docker.DockerClient, name: str
) -> None:
    config = engine.images.get(name).attrs["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"][0] in {"python", "python3"}


@pytest.mark.parametrize("service", ["orchestrator", "segmentation", "triton"])
def test_container_stops_when_told_and_the_stack_gets_over_it(stack: ComposeStack, service: str) -> None:
    stack("stop", service)
    state = stack.container(service).attrs["State"]
    stack("start", service)
    stack.wait_until_healthy()

    # 137 would mean that the engine lost patience after stop_grace_period and killed it.
    assert state["ExitCode"] == 0
    assert not state["OOMKilled"]
