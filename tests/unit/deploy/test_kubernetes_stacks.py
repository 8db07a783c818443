"""deploy/kubernetes' stacks, compared with compose, the images' programs and each other."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pixelprobe_deploy.triton.__main__ import main
from pixelprobe_deploy.triton.gpu import ENGINES
from pixelprobe_deploy.triton.served import find_served
from pixelprobe_services.orchestrator.targets.config import load_targets
from tests.unit.deploy.rendered import KUBERNETES, ROOT, Object, of_kind, overlay, pods, ports, render

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]


@pytest.fixture
def base() -> list[Object]:
    return render("base")


@pytest.fixture
def gpu() -> list[Object]:
    return render("gpu")


def container(objects: list[Object], pod: str) -> Any:
    (found,) = pods(objects)[pod]["spec"]["containers"]
    return found


def builder(objects: list[Object]) -> Any:
    (found,) = pods(objects)["triton"]["spec"]["initContainers"]
    return found


def settings(part: Any) -> dict[str, str]:
    return {setting["name"]: setting["value"] for setting in part.get("env", [])}


def test_images_are_those_that_compose_builds(base: list[Object]) -> None:
    parts = {"models": builder(base)} | {name: container(base, name) for name in pods(base)}

    assert {name: part["image"] for name, part in parts.items()} == {
        name: COMPOSE[name]["image"].replace("${PIXELPROBE_TAG:-local}", "local") for name in parts
    }


def test_health_is_asked_by_the_program_that_compose_asks(base: list[Object]) -> None:
    for name in ("segmentation", "orchestrator"):
        probe = container(base, name)["readinessProbe"]["exec"]["command"]
        assert ["CMD", *probe[:-1]] == COMPOSE[name]["healthcheck"]["test"][:-1]
        # By a name, for the certificate's sake.
        assert probe[-1] == f"localhost:{ports(pods(base)[name])['grpc']}"
    for probe in ("startupProbe", "readinessProbe"):
        assert container(base, "triton")[probe]["grpc"] == {"port": ports(pods(base)["triton"])["grpc"]}


def test_a_stop_is_given_longer_than_compose_gives(base: list[Object]) -> None:
    for name, pod in pods(base).items():
        seconds = int(COMPOSE[name]["stop_grace_period"].removesuffix("s"))
        assert pod["spec"]["terminationGracePeriodSeconds"] > seconds


def test_targets_are_what_ships_and_are_where_they_say(base: list[Object], tmp_path: Path) -> None:
    (found,) = of_kind(base, "ConfigMap").values()
    (tmp_path / "targets.toml").write_text(found["data"]["targets.toml"])
    targets = load_targets(tmp_path / "targets.toml")
    (autoscaler,) = of_kind(base, "HorizontalPodAutoscaler").values()

    assert {name: target.labels for name, target in targets.items()} == {
        model.name: model.labels for model in find_served().classifiers
    }
    for target in targets.values():
        assert is_served(base, target.address)
        assert target.max_in_flight == 3 * autoscaler["spec"]["maxReplicas"]


def is_served(objects: list[Object], address: str) -> bool:
    """Whether a Service has this name and port."""
    host, _, port = address.rpartition(":")
    return int(port) in {each["port"] for each in of_kind(objects, "Service")[host]["spec"]["ports"]}


def test_the_services_find_each_other(base: list[Object]) -> None:
    for name in ("segmentation", "orchestrator"):
        told, there = settings(container(base, name)), ports(pods(base)[name])
        assert told["PIXELPROBE_LISTEN"] == f"0.0.0.0:{there['grpc']}"
        assert told["PIXELPROBE_METRICS_LISTEN"] == f"0.0.0.0:{there['metrics']}"
        assert "PIXELPROBE_ALLOW_PLAINTEXT" not in told
    told = settings(container(base, "orchestrator")) | settings(container(base, "segmentation"))
    assert is_served(base, told["PIXELPROBE_SEGMENTATION_ADDRESS"])
    assert is_served(base, told["PIXELPROBE_TRITON_ADDRESS"])


def test_triton_has_no_address_but_its_pods(base: list[Object]) -> None:
    assert of_kind(base, "Service")["triton"]["spec"]["clusterIP"] == "None"


def test_one_orchestrator_at_a_time_writes_sqlite(base: list[Object]) -> None:
    spec = of_kind(base, "Deployment")["orchestrator"]["spec"]

    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert settings(container(base, "orchestrator"))["PIXELPROBE_STORE"].startswith("sqlite:////")


def test_postgres_takes_the_place_of_sqlite() -> None:
    found = render("postgres")
    spec = of_kind(found, "Deployment")["orchestrator"]["spec"]
    told = settings(container(found, "orchestrator"))

    assert not of_kind(found, "PersistentVolumeClaim")
    assert spec["replicas"] > 1
    assert spec["strategy"]["type"] == "RollingUpdate"
    assert (told["PIXELPROBE_STORE"], told["PIXELPROBE_STORE_FILE"]) == ("", "/run/store/url")


@pytest.mark.parametrize("stack", ["base", "gpu"])
def test_the_models_are_built_with_options_that_there_are(stack: str) -> None:
    name, *arguments = builder(render(stack))["args"]
    command = main.commands[name]

    options = command.make_context(name, arguments).params
    assert str(options["output"]) == "/srv/triton/models"
    assert options["zoos"] == (Path("zoo"),)
    assert options["backend"] == ("onnxruntime" if stack == "gpu" else "python")


def test_no_model_has_more_threads_than_its_pod_has_cpus(base: list[Object]) -> None:
    name, *arguments = builder(base)["args"]

    threads = main.commands[name].make_context(name, arguments).params["threads"]
    assert str(threads) == container(base, "triton")["resources"]["requests"]["cpu"]


def test_gpu_pods_have_nvidias_image_and_a_gpu_each(base: list[Object], gpu: list[Object]) -> None:
    triton = container(gpu, "triton")

    assert triton["image"] == "pixelprobe-triton-gpu:local"
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert settings(triton) == {"CUDA_CACHE_PATH": "/tmp/cuda", "NVIDIA_TF32_OVERRIDE": "0"}
    assert pods(gpu)["triton"]["spec"]["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile("triton-gpu"), re.MULTILINE)
    assert user
    assert [triton["securityContext"][key] for key in ("runAsUser", "runAsGroup")] == [
        int(each) for each in user.groups()
    ]
    for name in ("segmentation", "orchestrator"):
        assert pods(gpu)[name] == pods(base)[name]


def test_tensorrt_is_added_by_its_component_alone(gpu: list[Object]) -> None:
    assert "PIXELPROBE_TENSORRT" not in settings(builder(gpu))
    found = render("gpu-tensorrt")
    triton = container(found, "triton")

    assert settings(builder(found)) == {"PIXELPROBE_TENSORRT": "true"}
    assert ENGINES in {mount["mountPath"] for mount in triton["volumeMounts"]}
    assert ENGINES in dockerfile("triton-gpu")
    assert settings(triton) == settings(container(gpu, "triton"))
    longer, before = triton["startupProbe"], container(gpu, "triton")["startupProbe"]
    assert longer["failureThreshold"] > before["failureThreshold"]


def dockerfile(name: str) -> str:
    return (ROOT / "deploy" / "containers" / f"{name}.Dockerfile").read_text()


def test_the_adapters_rules_are_the_metrics_that_the_autoscaler_asks_for(base: list[Object]) -> None:
    example = yaml.safe_load((KUBERNETES / "examples" / "prometheus-adapter.yaml").read_text())
    rules = yaml.safe_load(example["data"]["config.yaml"])["rules"]
    (autoscaler,) = of_kind(base, "HorizontalPodAutoscaler").values()
    asked = [metric["pods"]["metric"]["name"] for metric in autoscaler["spec"]["metrics"]]

    assert [rule["name"]["as"] for rule in rules] == asked
    for rule in rules:
        assert rule["resources"]["overrides"] == {
            "namespace": {"resource": "namespace"},
            "pod": {"resource": "pod"},
        }
        assert "<<.LabelMatchers>>" in rule["metricsQuery"]
        assert "by (<<.GroupBy>>)" in rule["metricsQuery"]
        assert rule["seriesQuery"].startswith("nv_inference_")


def comment(file: str, start: str) -> Any:
    """The YAML in a file's comments from the line that starts so to the first without more of it."""
    lines = (KUBERNETES / file).read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line.startswith(f"#   {start}"))
    taken = itertools.takewhile(lambda line: line.startswith("#   "), lines[first:])
    return yaml.safe_load("\n".join(line.removeprefix("#   ") for line in taken))


def test_an_overlay_of_ones_own_does_what_the_comments_say() -> None:
    fields = comment("base/kustomization.yaml", "images:")
    fields |= comment("base/network.yaml", "patches:")
    files = {"targets.toml": "[targets.mine]\n", "labels.txt": "cat\ndog\n"}
    found = overlay("base", fields, files)

    assert container(found, "triton")["image"] == "registry.example/pixelprobe-triton@sha256:..."
    (targets,) = of_kind(found, "ConfigMap").values()
    assert targets["data"] == files
    (mounted,) = (
        volume["configMap"]["name"]
        for volume in pods(found)["orchestrator"]["spec"]["volumes"]
        if "configMap" in volume
    )
    assert mounted == targets["metadata"]["name"], "new contents are a new name, which starts new pods"
    policy = of_kind(found, "NetworkPolicy")["orchestrator-targets"]["spec"]
    assert policy["egress"] == [{"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 443}]}]
    assert found != render("base")
