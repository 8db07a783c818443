"""The stack with TLS, client certificates, tokens and Prometheus: of use to who may, closed to others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from pixelprobe_deploy.secrets.folder import make
from tests.e2e.inside import ASK_PROMETHEUS, ENVIRONMENTS
from tests.e2e.leaks import inspected, secrets_of, seen_in, suspicious_files
from tests.e2e.prometheus import image
from tests.e2e.stack import IMAGES, ROOT, SERVICES, UP_SECONDS, ComposeStack, compose

IMAGE = ROOT / "client" / "pixelprobe" / "samples" / "03_cat_000024.png"
OVERLAYS = tuple(
    ROOT / "deploy" / "containers" / f"{name}.yaml" for name in ("secure", "client-certificates")
)
CLIENTS = {"admin": ("read", "attack", "admin"), "reader": ("read",)}
SCRAPED_WITHIN_SECONDS = 90.0
"""Of every part: three times its interval, on a busy machine."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and tokens as `python -m pixelprobe_deploy.secrets make` makes them."""
    folder = tmp_path_factory.mktemp("secrets") / "stack"
    make(folder, (), CLIENTS, days=2)
    return folder


@pytest.fixture(scope="module")
def secure(engine: docker.DockerClient, folder: Path) -> Iterator[ComposeStack]:
    """A second stack, with everything on; the CLI has what an administrator has."""
    wanted = json.loads(compose("--profile", "monitoring", "config", "--format", "json", settings={}).stdout)
    stack = ComposeStack(
        engine,
        overlays=OVERLAYS,
        settings={
            "PIXELPROBE_SECRETS": str(folder),
            "PIXELPROBE_LOG_LEVEL": "DEBUG",
            "PIXELPROBE_PROMETHEUS_IMAGE": image(engine, wanted["services"]["prometheus"]["image"]),
            "PIXELPROBE_PROMETHEUS_PORT": "0",
        },
        client_settings={
            "PIXELPROBE_TLS_CA": str(folder / "ca.pem"),
            "PIXELPROBE_TLS_CLIENT_CERT": str(folder / "client.pem"),
            "PIXELPROBE_TLS_CLIENT_KEY": str(folder / "client-key.pem"),
            "PIXELPROBE_TOKEN_FILE": str(folder / "admin.token"),
        },
    )
    try:
        try:
            stack.start()
            stack("up", "--detach", "--wait", "--no-deps", "prometheus", seconds=UP_SECONDS)
        except AssertionError as error:
            pytest.fail(f"the stack did not start: {error}\n{stack.logs()}", pytrace=False)
        yield stack
    finally:
        stack.remove()


@pytest.fixture(scope="module")
def attacked(secure: ComposeStack, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Records of an attack from outside, with masks: so the services talk to each other too."""
    printed = secure.pixelprobe(
        *("attack", str(IMAGE), "--target", "nin_cifar10", "--region", "whole", "--region", "foreground"),
        *("--population", "40", "--generations", "3", "--accept-masks"),
        *("--out", str(tmp_path_factory.mktemp("attack")), "--json"),
    )
    records: list[dict[str, Any]] = json.loads(printed)
    return records


def ask(secure: ComposeStack, path: str) -> Any:
    """What Prometheus answers, asked inside its network."""
    answer = json.loads(secure.python("orchestrator", ASK_PROMETHEUS.replace("PATH", path)))
    assert answer["status"] == "success"
    return answer["data"]


def test_who_has_certificate_and_token_can_attack(attacked: list[dict[str, Any]]) -> None:
    assert [record["region"] for record in attacked] == ["whole", "foreground"]
    assert {record["outcome"] for record in attacked} <= {"success", "failure"}
    assert all(record["queries_sent"] > 1 for record in attacked)


def test_masks_are_had_under_the_same_protection(secure: ComposeStack, tmp_path: Path) -> None:
    (record,) = json.loads(secure.pixelprobe("segment", str(IMAGE), "--out", str(tmp_path), "--json"))
    assert 0 < record["area_fraction"] < 1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param({"PIXELPROBE_TOKEN_FILE": ""}, "token", id="no-token"),
        pytest.param({"PIXELPROBE_TOKEN_FILE": "WRONG"}, "token", id="wrong-token"),
        pytest.param({"PIXELPROBE_TOKEN_FILE": "reader.token"}, "attack", id="token-to-read-alone"),
        pytest.param({"PIXELPROBE_TLS_CA": "OTHER"}, "certificate", id="another-authority"),
        pytest.param(
            {"PIXELPROBE_TLS_CLIENT_CERT": "", "PIXELPROBE_TLS_CLIENT_KEY": ""},
            "certificate",
            id="no-certificate",
        ),
        pytest.param(
            {
                "PIXELPROBE_TLS_CA": "",
                "PIXELPROBE_TLS_CLIENT_CERT": "",
                "PIXELPROBE_TLS_CLIENT_KEY": "",
            },
            "TLS",
            id="plaintext",
        ),
    ],
)
def test_others_are_refused_in_one_line(
    secure: ComposeStack, folder: Path, changed: dict[str, str], told: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.token"
    wrong.write_text("0" * 43)
    make(tmp_path / "other", (), CLIENTS, days=2)
    files = {"": "", "WRONG": str(wrong), "OTHER": str(tmp_path / "other" / "ca.pem")}
    settings = {name: files.get(value, str(folder / value)) for name, value in changed.items()}

    done = secure.run_pixelprobe(
        "attack", str(IMAGE), "--target", "nin_cifar10", "--out", str(tmp_path), changed=settings
    )

    assert done.returncode != 0
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not seen_in(done.stdout + done.stderr, secrets_of(folder))


def test_prometheus_sees_every_part_and_counts_what_the_cli_was_told(
    secure: ComposeStack, attacked: list[dict[str, Any]]
) -> None:
    sent = sum(record["queries_sent"] for record in attacked)
    give_up = time.monotonic() + SCRAPED_WITHIN_SECONDS
    while True:
        up = {
            series["metric"]["job"]: series["value"][1] for series in ask(secure, "query?query=up")["result"]
        }
        counted = {
            name: sum(float(series["value"][1]) for series in ask(secure, f"query?query={name}")["result"])
            for name in ("pixelprobe_target_queries_sent_total", "nv_inference_request_success")
        }
        if set(up.values()) == {"1"} and counted["pixelprobe_target_queries_sent_total"] >= sent:
            break
        assert time.monotonic() < give_up, f"up: {up}; counted: {counted}; sent: {sent}"
        time.sleep(2)
    assert set(up) == {"orchestrator", "segmentation", "triton", "prometheus"}
    assert counted["pixelprobe_target_queries_sent_total"] == sent
    assert counted["nv_inference_request_success"] > 0


def test_alert_rules_are_loaded_and_find_nothing_wrong(
    secure: ComposeStack, attacked: list[dict[str, Any]]
) -> None:
    rules = [rule for group in ask(secure, "rules")["groups"] for rule in group["rules"]]
    assert len(rules) >= 10
    assert [rule["name"] for rule in rules if rule.get("lastError")] == []
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


def test_no_secret_in_containers_environments_arguments_or_logs(
    secure: ComposeStack, attacked: list[dict[str, Any]], folder: Path
) -> None:
    secrets = secrets_of(folder)
    for name in (*SERVICES, "prometheus"):
        assert seen_in(inspected(secure.container(name)), secrets) == [], name
    for name in SERVICES:
        assert seen_in(secure.python(name, ENVIRONMENTS), secrets) == [], name
    logs = secure("logs", "--no-color")
    assert "PERMISSION_DENIED" in logs or "UNAUTHENTICATED" in logs  # it is the log of all this
    assert seen_in(logs, secrets) == []


@pytest.mark.parametrize("name", IMAGES)
def test_no_secret_in_images(
    secure: ComposeStack, engine: docker.DockerClient, name: str, folder: Path
) -> None:
    told = json.dumps(engine.images.get(name).history()) + json.dumps(engine.images.get(name).attrs)
    assert seen_in(told, secrets_of(folder)) == []
    assert not any(word in told.lower() for word in ("password=", "token=", "secret="))
    assert list(suspicious_files(engine, name)) == []
