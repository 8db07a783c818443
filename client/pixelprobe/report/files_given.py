"""What a person hands in beside the campaigns: models' accuracies and cards, and notes on provenance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelprobe.inputs.planned import PlanError
from pixelprobe.report.material import ModelFacts
from pixelprobe.report.tables import Accuracy

ACCURACY_FORM = '{"MODEL": {"correct": 8556, "total": 10000}}, or a model card of the model zoo'


def read_models(accuracy_files: Sequence[Path], provenance: Mapping[str, Any]) -> dict[str, ModelFacts]:
    """What files tell about models, by name; of a model told twice the later file counts.

    An accuracy file holds ``{"MODEL": {"correct": C, "total": N}}`` for any number of models, or is a model
    card (``weights/NAME.json`` of the model zoo), which also tells the weights' hash and whether they are
    provisional. ``provenance["models"]["MODEL"]["sha256"]`` tells a hash too.

    Raises:
        PlanError: a file cannot be read, or is of another form; the message names file and key.
    """
    found: dict[str, ModelFacts] = {}
    for path in accuracy_files:
        content = _object(path)
        if "card_version" in content:
            found[_text(content, "name", path)] = _card(content, path)
        else:
            found.update(
                {
                    model: ModelFacts(_accuracy(told, "total", f"{path}: {model}"))
                    for model, told in content.items()
                }
            )
    models = provenance.get("models", {})
    for model, told in models.items() if isinstance(models, dict) else ():
        if isinstance(told, dict) and isinstance(told.get("sha256"), str):
            known = found.get(model, ModelFacts())
            found[model] = ModelFacts(known.accuracy, told["sha256"], known.note)
    return found


def read_provenance(path: Path | None) -> dict[str, Any]:
    """A JSON object of whatever readers should know.

    Raises:
        PlanError: the file cannot be read or holds something else.
    """
    return {} if path is None else _object(path)


def _card(content: Mapping[str, Any], path: Path) -> ModelFacts:
    accuracy = content.get("accuracy")
    training = content.get("training")
    note = ""
    if isinstance(training, dict) and training.get("steps", 0) < training.get("planned_steps", 0):
        done, planned = training["steps"], training["planned_steps"]
        note = f"its weights are provisional, of {done:,} of {planned:,} training steps; not for measurements"
    return ModelFacts(
        accuracy=None if accuracy is None else _accuracy(accuracy, "images", f"{path}: accuracy"),
        sha256=_text(content, "sha256", path),
        note=note,
    )


def _accuracy(told: object, total_key: str, where: str) -> Accuracy:
    correct, total = (told.get("correct"), told.get(total_key)) if isinstance(told, dict) else (None, None)
    if type(correct) is not int or type(total) is not int or not 0 <= correct <= total or not total:
        raise PlanError(f"{where}: expected {ACCURACY_FORM}, got {json.dumps(told)[:100]}")
    return Accuracy(correct, total)


def _text(content: Mapping[str, Any], key: str, path: Path) -> str:
    if not isinstance(content.get(key), str):
        raise PlanError(f"{path}: {key}: expected a text")
    return str(content[key])


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not JSON ({error})") from error
    if not isinstance(content, dict):
        raise PlanError(f"{path}: expected a JSON object")
    return content
