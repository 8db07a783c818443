"""The record of an attack: its keys are a contract."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pixelprobe.model import CampaignSpec, ClassScore, Outcome
from pixelprobe.results.records import AttackFiles, attack_record
from pixelprobe_services.common.errors import ServiceError
from tests.unit.client.values import TARGET, make_attack, make_result

KEYS = {
    "image", "target", "region", "pixels", "goal", "target_class", "outcome", "reason", "clean_class",
    "clean_probability", "adversarial_class", "adversarial_probability", "edits", "queries_sent",
    "queries_skipped", "queries_repeated", "queries_answered", "queries_timed_out", "queries_rejected",
    "retries", "clean_held", "success_held", "generations", "adversarial_path", "mask_path",
    "mask_area_fraction", "seed", "clean_label", "adversarial_label", "target_label", "image_preparation",
}  # fmt: skip


SPEC = CampaignSpec(images=(), targets=("net",), seed=5, image_preparation="stretched")


def test_a_success() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[0] = True
    files = AttackFiles(Path("out/a/x.png"), Path("out/a/x_enlarged.png"), Path("out/a/mask.png"))
    record = attack_record(make_attack(make_result(mask=mask)), Path("in/a.png"), TARGET, SPEC, files)
    assert set(record) == KEYS
    assert record == {
        "image": "in/a.png",
        "image_preparation": "stretched",
        "target": "net",
        "region": "whole",
        "pixels": 1,
        "goal": "untargeted",
        "target_class": None,
        "target_label": None,
        "outcome": "success",
        "reason": "",
        "clean_class": 0,
        "clean_label": "cat",
        "clean_probability": 0.75,
        "adversarial_class": 1,
        "adversarial_label": "dog",
        "adversarial_probability": 0.5,
        "edits": [[7, 5, 1, 2, 3]],
        "queries_sent": 42,
        "queries_skipped": 5,
        "queries_repeated": 6,
        "queries_answered": None,
        "queries_timed_out": 0,
        "queries_rejected": 0,
        "retries": 0,
        "clean_held": None,
        "success_held": None,
        "generations": 1,
        "seed": 5,
        "adversarial_path": "out/a/x.png",
        "mask_path": "out/a/mask.png",
        "mask_area_fraction": 1 / 6,
    }
    assert json.loads(json.dumps(record)) == record


def test_an_attack_that_never_scored_anything_has_the_same_keys() -> None:
    result = make_result(Outcome.ERROR, reason="no answer", clean_top=(), best_top=(), edits=())
    record = attack_record(make_attack(result), Path("a.png"), TARGET, SPEC, AttackFiles())
    assert set(record) == KEYS
    for key in ("clean_class", "clean_label", "clean_probability", "adversarial_class", "adversarial_label"):
        assert record[key] is None
    assert record["edits"] == []
    assert record["mask_area_fraction"] is None


def test_a_targeted_attack_names_its_class() -> None:
    attack = replace(make_attack(make_result()), target_class=2)
    record = attack_record(attack, Path("a.png"), TARGET, SPEC, AttackFiles())
    assert (record["goal"], record["target_class"], record["target_label"]) == ("targeted", 2, "Frog")


def test_classes_that_share_a_name_are_told_apart() -> None:
    result = make_result(clean_top=(ClassScore(0, 0.5),), best_top=(ClassScore(2, 0.5),))
    cranes = replace(TARGET, labels=("crane", "dog", "crane"))
    record = attack_record(make_attack(result), Path("a.png"), cranes, SPEC, AttackFiles())
    assert (record["clean_label"], record["adversarial_label"]) == ("crane (0)", "crane (2)")


def test_labels_are_null_where_unknown() -> None:
    result = make_result(clean_top=(ClassScore(99, 0.5),))
    record = attack_record(make_attack(result), Path("a.png"), TARGET, SPEC, AttackFiles())
    assert (record["clean_class"], record["clean_label"]) == (99, None)


def test_a_result_that_is_missing_is_an_error() -> None:
    with pytest.raises(ServiceError, match="without its result"):
        attack_record(make_attack(None), Path("a.png"), TARGET, SPEC, AttackFiles())
