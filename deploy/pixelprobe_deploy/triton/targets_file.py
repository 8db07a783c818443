"""``targets.toml``, which names the classifiers that the orchestrator of a stack may attack."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pixelprobe_deploy.modelzoo.catalogue import ShippedModel

_HEADER = """\
# The targets of this stack. Written at each start; changes are overwritten.
"""


def targets_toml(models: Iterable[ShippedModel], triton_grpc: str) -> str:
    """The contents of the file: each model as a target of its own name."""
    return _HEADER + "".join(_target(model, triton_grpc) for model in models)


def _target(model: ShippedModel, triton_grpc: str) -> str:
    return (
        f"\n[targets.{_toml(model.name)}]\n"
        'protocol = "kserve-grpc"\n'
        f"address = {_toml(triton_grpc)}\n"
        f"labels = {_toml(list(model.labels))}\n"
        "load_test = true\n"
    )


def _toml(value: str | list[str]) -> str:
    """JSON's strings, and lists of them, are TOML's as well."""
    return json.dumps(value, ensure_ascii=False)
