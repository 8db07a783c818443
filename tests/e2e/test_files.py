"""Checks of the stack's files that need no engine: overlays, targets, packages, Dockerfiles."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pixelprobe_deploy.modelzoo.catalogue import shipped_models, zoo_models
from pixelprobe_deploy.secrets.folder import MOUNTED, make
from pixelprobe_deploy.triton.__main__ import main as build_models
from pixelprobe_deploy.triton.gpu import ENGINES
from pixelprobe_services.orchestrator.targets.config import load_targets
from tests.e2e.stack import ROOT, compose
from tests.unit.deploy.zoo import LABELS, add_classifier, add_u2net

DEPLOY = ROOT / "deploy"
GPU = ("-f", str(DEPLOY / "compose.gpu.yaml"))
PUBLISHED = ("-f", str(DEPLOY / "containers" / "publish-triton.yaml"))
SECURE = ("-f", str(DEPLOY / "containers" / "secure.yaml"))
CERTIFICATES = (*SECURE, "-f", str(DEPLOY / "containers" / "client-certificates.yaml"))
POSTGRES = ("--env-file", str(DEPLOY / "containers" / "postgres.env"))
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
    [
        (),
        GPU,
        PUBLISHED,
        POSTGRES,
        CERTIFICATES,
        MONITORING,
        (*GPU, *PUBLISHED, *POSTGRES, "--profile", "monitoring"),
    ],
)
def test_every_service_of_every_stack_is_locked_down_and_bounded(options: tuple[str, ...]) -> None:
    for name, service in services(*options, PIXELPROBE_SECRETS="/secrets").items():
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
    assert found["orchestrator"] == services()["orchestrator"]


@pytest.mark.parametrize(("setting", "told"), [({}, "false"), ({"PIXELPROBE_TENSORRT": "true"}, "true")])
def test_gpu_stack_uses_tensorrt_only_when_asked_and_keeps_its_engines(
    setting: dict[str, str], told: str
) -> None:
    found = services(*GPU, **setting)

    assert found["models"]["environment"]["PIXELPROBE_TENSORRT"] == told
    assert found["triton"]["environment"]["NVIDIA_TF32_OVERRIDE"] == "0"
    volumes = {mount["target"]: mount for mount in found["triton"]["volumes"]}
    assert volumes[ENGINES]["source"] == "engines"
    assert not volumes[ENGINES].get("read_only")
    assert volumes["/srv/triton"]["read_only"]


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


def builder_command() -> list[str]:
    """What the models image runs."""
    text = (DEPLOY / "containers" / "python.Dockerfile").read_text()
    found: list[str] = json.loads(text.rpartition("\nCMD ")[2].replace("\\\n", ""))
    return found


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


def test_plaintext_is_asked_for_where_only_loopback_publishes_it() -> None:
    for name in ("segmentation", "orchestrator"):
        service = services()[name]
        assert service["environment"]["PIXELPROBE_ALLOW_PLAINTEXT"] == "true"
        assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}
        assert "secrets" not in service


@pytest.mark.parametrize("options", [SECURE, CERTIFICATES])
def test_secrets_come_as_files_that_each_service_needs(options: tuple[str, ...], tmp_path: Path) -> None:
    make(tmp_path / "secrets", (), {}, 1)
    done = compose(
        *options,
        *("config", "--format", "json"),
        settings={"PIXELPROBE_SECRETS": str(tmp_path / "secrets")},
    )
    assert done.returncode == 0, done.stderr
    stack = json.loads(done.stdout)
    files = {name: Path(secret["file"]) for name, secret in stack["secrets"].items()}
    assert all(file.name in MOUNTED and file.is_file() for file in files.values())
    for name in ("segmentation", "orchestrator"):
        service = stack["services"][name]
        mounted = {f"/run/secrets/{secret['source']}" for secret in service["secrets"]}
        named = {value for value in service["environment"].values() if value.startswith("/run/secrets/")}
        assert named == mounted
        assert service["environment"]["PIXELPROBE_ALLOW_PLAINTEXT"] == "false"
        assert ("PIXELPROBE_TLS_CLIENT_CA" in service["environment"]) is (options is CERTIFICATES)
        # the server's certificate is for localhost among others, as the health check calls it
        assert service["healthcheck"]["test"][-1].startswith("localhost:")
    assert "orchestrator_token" not in str(stack["services"]["segmentation"])


def test_the_secure_stack_wants_its_folder() -> None:
    done = compose(*SECURE, "config", settings={})
    assert done.returncode != 0
    assert "PIXELPROBE_SECRETS" in done.stderr


def test_builder_serves_and_targets_what_ships_and_what_is_in_the_zoo(tmp_path: Path) -> None:
    add_classifier(tmp_path / "zoo", "mine_imagenet")
    add_u2net(tmp_path / "zoo")
    places = {
        "/srv/triton/models": "models",
        "/srv/zoo": "zoo",
        "/etc/pixelprobe/targets.toml": "targets.toml",
    }
    command = [str(tmp_path / places[word]) if word in places else word for word in builder_command()]

    done = CliRunner().invoke(build_models, command)

    assert done.exit_code == 0, done.output
    shipped = {model.name: model.labels for model in shipped_models()}
    names = {*shipped, "mine_imagenet"}
    made = {path.name for path in (tmp_path / "models").iterdir()}
    assert made == {"u2net", *names, *(f"{name}_edits" for name in names)}
    targets = load_targets(tmp_path / "targets.toml")
    assert {name: target.labels for name, target in targets.items()} == {
        **shipped,
        "mine_imagenet": tuple(LABELS),
    }
    assert {target.address for target in targets.values()} == {"triton:8001"}


def test_builder_on_gpus_differs_by_its_backend_alone() -> None:
    assert services(*GPU)["models"]["command"] == [*builder_command(), "--backend", "onnxruntime"]


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """What is mounted, by where."""
    return {mount["target"]: mount["source"] for mount in service["volumes"]}


def test_targets_are_the_builders_unless_others_are_named(tmp_path: Path) -> None:
    found = services()
    assert mounts(found["models"])["/etc/pixelprobe"] == "targets"
    assert mounts(found["orchestrator"])["/etc/pixelprobe"] == "targets"
    other = services(PIXELPROBE_TARGETS=str(tmp_path))["orchestrator"]
    assert mounts(other)["/etc/pixelprobe"] == str(tmp_path)


def test_zoo_is_mounted_read_only_and_empty_unless_one_is_named(tmp_path: Path) -> None:
    unnamed: dict[str, str] = {}
    for settings, folder in (
        (unnamed, DEPLOY / "containers" / "zoo"),
        ({"PIXELPROBE_ZOO": str(tmp_path)}, tmp_path),
    ):
        (mount,) = (m for m in services(**settings)["models"]["volumes"] if m["target"] == "/srv/zoo")
        assert (mount["type"], mount["source"], mount["read_only"]) == ("bind", str(folder), True)
    assert zoo_models(DEPLOY / "containers" / "zoo") == []


def test_masks_are_asked_of_the_same_triton() -> None:
    environment = services()["segmentation"]["environment"]
    assert environment["PIXELPROBE_TRITON_ADDRESS"] == "triton:8001"


def test_image_without_u2net_where_the_package_index_is_out_of_reach(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "containers" / "fetch_u2net.py"), str(tmp_path / "zoo")],
        env={**os.environ, "PYTHONPATH": str(DEPLOY), "PIP_NO_INDEX": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Going on without U2-Net: cannot fetch ")
    assert list((tmp_path / "zoo").iterdir()) == []


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "containers" / "requirements").glob("*.txt")), ids=lambda file: file.stem
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


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "containers").glob("*.Dockerfile")), ids=lambda file: file.stem
)
def test_dockerfiles_keep_the_rules(file: Path) -> None:
    text = file.read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    stages = re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE)

    assert [base for base in bases if not base.startswith("${") and base not in (*stages, "scratch")] == []
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", text, re.MULTILINE)
    assert all(line.startswith("ENTRYPOINT [") for line in re.findall(r"^ENTRYPOINT.*", text, re.MULTILINE))
    assert not re.search(r":latest|^ADD ", text, re.MULTILINE)
