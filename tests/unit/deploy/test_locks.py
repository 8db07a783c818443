"""Locks with hashes: they belong to their requirements files, and installations use them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy import lock
from pixelprobe_deploy.triton import venv

CONTAINERS = lock.DEPLOY / "containers"
LOCKS = [*(lock.lock_of(path) for path in lock.CONTAINERS), lock.lock_of(lock.TRITON)]


def pins(text: str) -> dict[str, str]:
    return {
        name.lower(): version for name, version in re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_file_has_a_sha256(path: Path) -> None:
    text = path.read_text()

    assert lock.entries(text).keys() == pins(text).keys()
    assert not re.search(r"https?:|file:|^-", text, re.MULTILINE), "an index in a lock"


@pytest.mark.parametrize("path", lock.CONTAINERS, ids=lambda path: path.stem)
def test_containers_lock_what_they_name_in_the_constraints_versions(path: Path) -> None:
    locked = pins(lock.lock_of(path).read_text())
    locked.pop("setuptools", None)  # which pip-compile leaves out of constraints
    constraints = pins(lock.CONSTRAINTS.read_text())

    remedy = "run `python deploy/lock.py`"
    assert lock.named(path) - locked.keys() == set(), remedy
    assert {name: constraints.get(name) for name in locked} == locked, remedy


def test_tritons_lock_pins_what_its_requirements_pin() -> None:
    assert pins(lock.lock_of(lock.TRITON).read_text()) == pins(lock.TRITON.read_text())


def test_installations_require_hashes() -> None:
    python, triton = ((CONTAINERS / f"{name}.Dockerfile").read_text() for name in ("python", "triton"))

    assert "--require-hashes" in python
    assert "--require-hashes" in triton
    assert "requirements.lock" in triton
    assert lock.lock_of(venv.REQUIREMENTS) == venv.LOCK


def test_both_constraint_files_agree() -> None:
    models = pins((lock.DEPLOY / "constraints-models.txt").read_text())
    others = pins(lock.CONSTRAINTS.read_text())

    assert {name: version for name, version in models.items() if others.get(name, version) != version} == {}
