from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixelprobe.inputs.planned import PlanError
from pixelprobe.report.material import ModelFacts, read_models, read_provenance
from pixelprobe.report.tables import Accuracy

CARDS = Path(__file__).parents[3] / "deploy" / "pixelprobe_deploy" / "modelzoo" / "weights"
CARD = {
    "card_version": 1,
    "name": "net",
    "sha256": "ab" * 32,
    "training": {"steps": 10, "planned_steps": 10},
    "accuracy": {"correct": 9, "images": 10, "encoding": "PNG"},
}


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_plain_accuracies(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"a": {"correct": 1, "total": 2}, "b": {"correct": 0, "total": 3}})
    assert read_models([path], {}) == {"a": ModelFacts(Accuracy(1, 2)), "b": ModelFacts(Accuracy(0, 3))}


def test_model_cards_tell_hash_and_accuracy(tmp_path: Path) -> None:
    assert read_models([written(tmp_path / "c.json", CARD)], {}) == {
        "net": ModelFacts(Accuracy(9, 10), "ab" * 32)
    }


def test_provisional_weights_are_noted(tmp_path: Path) -> None:
    card = {**CARD, "accuracy": None, "training": {"steps": 0, "planned_steps": 3120}}
    facts = read_models([written(tmp_path / "c.json", card)], {})["net"]
    assert facts.accuracy is None
    assert "provisional, of 0 of 3,120 training steps" in facts.note


def test_the_shipped_cards_are_understood() -> None:
    cards = sorted(CARDS.glob("*.json"))
    models = read_models(cards, {})
    assert list(models) == [card.stem for card in cards]
    assert all(len(facts.sha256) == 64 for facts in models.values())


def test_hashes_from_provenance_join_accuracies(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"net": {"correct": 1, "total": 2}})
    found = read_models([path], {"models": {"net": {"sha256": "ff"}, "other": {"sha256": "00"}, "odd": 3}})
    assert found == {"net": ModelFacts(Accuracy(1, 2), "ff"), "other": ModelFacts(sha256="00")}


def test_of_a_model_told_twice_the_later_counts(tmp_path: Path) -> None:
    first = written(tmp_path / "1.json", {"net": {"correct": 1, "total": 2}})
    second = written(tmp_path / "2.json", {"net": {"correct": 2, "total": 2}})
    assert read_models([first, second], {})["net"].accuracy == Accuracy(2, 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected a JSON object"),
        ({"net": 3}, "net: expected"),
        ({"net": {"correct": 3, "total": 2}}, "net: expected"),
        ({"net": {"correct": True, "total": 2}}, "net: expected"),
        ({"net": {"correct": 0, "total": 0}}, "net: expected"),
        ({**CARD, "sha256": None}, "sha256: expected a text"),
        ({**CARD, "accuracy": {"correct": 1}}, "accuracy: expected"),
    ],
)
def test_what_is_off_is_named_in_one_line(tmp_path: Path, content: object, words: str) -> None:
    path = written(tmp_path / "off.json", content)
    with pytest.raises(PlanError, match=r"off\.json") as caught:
        read_models([path], {})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"gone\.json: No such file"):
        read_provenance(tmp_path / "gone.json")
    assert read_provenance(None) == {}
