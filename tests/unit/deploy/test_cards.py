"""Model cards: what is read is what was written, and anything else is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pixelprobe_deploy.modelzoo.card import ServedAccuracy, read_card, with_accuracy, write_card
from pixelprobe_deploy.modelzoo.catalogue import WEIGHTS, WeightsError

NAME = "nin_cifar10"


@pytest.mark.parametrize("name", sorted(path.stem for path in WEIGHTS.glob("*.json")))
def test_shipped_cards_are_written_as_they_are_read(name: str, tmp_path: Path) -> None:
    write_card(read_card(name, WEIGHTS), tmp_path)

    assert (tmp_path / f"{name}.json").read_bytes() == (WEIGHTS / f"{name}.json").read_bytes()


def test_accuracy_is_added() -> None:
    card = with_accuracy(read_card(NAME, WEIGHTS), ServedAccuracy(1, 2, "PNG"))

    assert card.accuracy is not None
    assert card.accuracy.rate == 0.5


def version_2(fields: dict[str, Any]) -> None:
    fields["card_version"] = 2


def unknown_key(fields: dict[str, Any]) -> None:
    fields["colour"] = "red"


def no_labels(fields: dict[str, Any]) -> None:
    del fields["labels"]


def text_for_a_number(fields: dict[str, Any]) -> None:
    fields["accuracy"]["correct"] = "many"


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (version_2, "card_version 2, expected 1"),
        (unknown_key, "colour: "),
        (no_labels, "labels: "),
        (text_for_a_number, r"accuracy\.correct: "),
    ],
)
def test_a_card_with_an_error_is_refused_by_its_field(
    spoil: Callable[[dict[str, Any]], None], named: str, tmp_path: Path
) -> None:
    fields = json.loads((WEIGHTS / f"{NAME}.json").read_text())
    spoil(fields)
    (tmp_path / f"{NAME}.json").write_text(json.dumps(fields))

    with pytest.raises(WeightsError, match=rf"cannot read the model card .*{named}") as caught:
        read_card(NAME, tmp_path)
    assert "\n" not in str(caught.value)
