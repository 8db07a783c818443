"""Results of the Python API, and its public names, without a server."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pixelprobe
from pixelprobe.library import stack
from pixelprobe.library.results import AttackResult, AttackResults
from pixelprobe.library.stack import LocalStackError
from pixelprobe.model import Outcome
from tests.unit.client.values import SPEC, TARGET, make_attack, make_result

CLEAN = np.zeros((6, 8, 3), np.uint8)


def result(outcome: Outcome = Outcome.SUCCESS, **changes: object) -> AttackResult:
    return AttackResult(make_attack(make_result(outcome, **changes)), CLEAN, TARGET, SPEC, "a <b>")


def test_a_success_has_an_adversarial_image() -> None:
    found = result()
    assert found.success
    assert found.adversarial is not None
    assert found.adversarial[5, 7].tolist() == [1, 2, 3]
    assert CLEAN.sum() == 0
    assert (found.clean_label, found.adversarial_label, found.queries) == ("cat", "dog", 42)


def test_a_failure_has_a_best_candidate_but_no_adversarial_image() -> None:
    found = result(Outcome.FAILURE)
    assert found.adversarial is None
    assert found.adversarial_label is None
    assert found.best[5, 7].tolist() == [1, 2, 3]


def test_an_attack_that_never_scored_can_be_drawn() -> None:
    found = result(Outcome.NOT_APPLICABLE, reason="empty", clean_top=(), best_top=(), edits=())
    assert found.clean_label is None
    assert found.plot().width > 0


def test_a_collection_is_a_sequence_with_text_that_is_text() -> None:
    results = AttackResults([result(), result(Outcome.FAILURE)])
    assert len(results.successes) == 1
    assert len(results[:1]) == 1
    assert repr(results) == "<AttackResults: 1 of 2 attacks succeeded>"
    assert "<b>" not in results._repr_html_()
    assert [record["outcome"] for record in results.to_dicts()] == ["success", "failure"]


def test_a_frame_has_the_records_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Pandas:
        DataFrame = staticmethod(made.append)

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    AttackResults([result()]).to_frame()
    assert made[0][0]["image"] == "a <b>"


def test_without_pandas_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match="pip install pandas"):
        AttackResults([result()]).to_frame()


def test_public_names_are_all_there_and_cost_nothing_until_used() -> None:
    assert all(getattr(pixelprobe, name) for name in pixelprobe.__all__)
    code = "import sys, pixelprobe; print({'numpy', 'grpc', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pixelprobe.nonsense


def test_a_stack_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIXELPROBE_HOME", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    with pytest.raises(LocalStackError, match="the local stack did not start: "), stack.local_stack():
        raise AssertionError


def test_a_result_without_a_mask_has_none() -> None:
    found = result()
    bare = replace(found, attack=make_attack(make_result(mask=None)))
    assert bare.mask is None
