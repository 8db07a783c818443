"""A zoo folder as `python -m pixelprobe_deploy.modelzoo` leaves it, with tiny models."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.unit.deploy.tiny import HEIGHT, WIDTH, tiny_model, tiny_saliency_model, write_model

LABELS = ["tench", "goldfish", "great white shark", "tiger shark", "hammerhead", "electric ray", "stingray"]


def add_classifier(zoo: Path, name: str) -> Path:
    """A classifier of seven classes and its card."""
    zoo.mkdir(parents=True, exist_ok=True)
    path = write_model(zoo / f"{name}.onnx", tiny_model())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = {"name": name, "file": path.name, "sha256": digest}
    card |= {"labels": LABELS, "width": WIDTH, "height": HEIGHT}  # type: ignore[dict-item]
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def add_u2net(zoo: Path) -> Path:
    """A saliency model under U2-Net's name."""
    zoo.mkdir(parents=True, exist_ok=True)
    return write_model(zoo / "u2net.onnx", tiny_saliency_model())
