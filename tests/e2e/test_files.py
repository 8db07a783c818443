"""What the stack's files say where no engine is needed to tell: overlays, targets, packages, Dockerfiles."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.modelzoo.catalogue import shipped_models
from services.orchestrator.targets.config import load_targets
from tests.e2e.stack import ROOT, compose

DEPLOY = ROOT / "deploy"
GPU = ("-f", str(DEPLOY / "compose.gpu.yaml"))
PUBLISHED = ("-f", str(DEPLOY / "docker" / "publish-triton.yaml"))
POSTGRES = ("--env-file", str(DEPLOY / "docker" / "postgres.env"))
MONITORING = ("--profile", "monitoring")
ONE_SHOTS = {"models", "postgres-secret", "grafana-secret"}


def services(*options: str, **settings: str) -> dict[str, Any]:
    """The services of the stack as compose understands its files."""
    done = compose(*options, "config", "--format", "json", settings=settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.parametrize(
    "options",
    [(), GPU, PUBLISHED, POSTGRES, MONITORING, (*GPU, *PUBLISHED, *POSTGRES, "--profile", "monitoring")],
)
def test_every_service_of_every_stack_is_locked_down_and_bounded(options: tuple[str, ...]) -> None:
    for name, service in services(*options).items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert int(service["mem_limit"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert name in ONE_SHOTS or service["healthcheck"]["test"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name


def test_gpu_stack_runs_nvidias_image_on_the_gpus_asked_for() -> None:
    found = services(*GPU, PIXELPROBE_GPUS="2", PIXELPROBE_TRITON_IMAGE="tritonserver:tag")

    triton = found["triton"]
    assert triton["build"]["args"] == {"TRITON_IMAGE": "tritonserver:tag"}
    (device,) = triton["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", 2, ["gpu"])
    assert triton["shm_size"] == str(2**30)
    assert found["models"]["command"][-2:] == ["--backend", "onnxruntime"]
    assert found["orchestrator"] == services()["orchestrator"]


def test_triton_is_published_only_when_asked_for() -> None:
    assert "ports" not in services()["triton"]
    published = services(*PUBLISHED, PIXELPROBE_TRITON_GRPC_PORT="9001")["triton"]
    assert [port["published"] for port in published["ports"]] == ["8000", "9001", "8002"]
    assert set(published["networks"]) == {"backend", "edge"}


def test_postgres_takes_the_place_of_sqlite_and_its_password_is_in_a_file() -> None:
    assert {"postgres", "postgres-secret"}.isdisjoint(services())
    found = services(*POSTGRES)
    store = {name: value for name, value in found["orchestrator"]["environment"].items() if "STORE" in name}
    assert store == {"PIXELPROBE_STORE": "", "PIXELPROBE_STORE_FILE": "/run/store/url"}
    assert found["orchestrator"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert found["postgres"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/store/password"
    assert list(found["postgres"]["networks"]) == ["store"]


def test_monitoring_sees_the_services_and_has_no_password_of_its_own() -> None:
    assert {"prometheus", "grafana", "grafana-secret"}.isdisjoint(services())
    found = services(*MONITORING)
    assert {"backend", "watching"} <= set(found["prometheus"]["networks"])
    assert "backend" not in found["grafana"]["networks"]
    assert found["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/grafana/password"
    assert "GF_SECURITY_ADMIN_PASSWORD" not in found["grafana"]["environment"]
    scraped = (DEPLOY / "monitoring" / "prometheus.yml").read_text()
    for name in ("segmentation", "orchestrator"):
        port = found[name]["environment"]["PIXELPROBE_METRICS_LISTEN"].rpartition(":")[2]
        assert f'"{name}:{port}"' in scraped
        assert all(one["target"] != int(port) for one in found[name]["ports"])
    assert '"triton:8002"' in scraped
    for volume in found["prometheus"]["volumes"] + found["grafana"]["volumes"]:
        assert volume["type"] == "volume" or (volume["read_only"] and Path(volume["source"]).exists())


def test_targets_are_the_shipped_classifiers() -> None:
    targets = load_targets(DEPLOY / "docker" / "targets" / "targets.toml")

    assert {name: target.labels for name, target in targets.items()} == {
        model.name: model.labels for model in shipped_models()
    }
    assert {target.address for target in targets.values()} == {"triton:8001"}


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "docker" / "requirements").glob("*.txt")), ids=lambda file: file.stem
)
def test_images_install_what_the_project_declares_and_locks(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {named(text) for text in [*project["dependencies"], *extras["server"], *extras["tracing"]]}
    locked = {named(line) for line in lines(DEPLOY / "constraints.txt")}
    wanted = {named(line) for line in lines(file)}

    assert wanted
    assert wanted - declared == set()
    assert wanted - locked == set()


def lines(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def named(requirement: str) -> str:
    """A requirement's package."""
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0].lower()


@pytest.mark.parametrize("file", sorted((DEPLOY / "docker").glob("*.Dockerfile")), ids=lambda file: file.stem)
def test_dockerfiles_keep_the_rules(file: Path) -> None:
    text = file.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    stages = re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE)

    assert [base for base in bases if not base.startswith("${") and base not in (*stages, "scratch")] == []
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert all(line.startswith("ENTRYPOINT [") for line in re.findall(r"^ENTRYPOINT.*", text, re.MULTILINE))
    assert not re.search(r":latest|^ADD ", text, re.MULTILINE)
