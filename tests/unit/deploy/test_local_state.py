from __future__ import annotations

import json
import os
import signal
import tomllib
from pathlib import Path

import pytest

from pixelprobe_deploy.local.errors import Interrupted, StateError
from pixelprobe_deploy.local.interrupts import SIGNALS, Interrupts
from pixelprobe_deploy.local.processes import ProcessId
from pixelprobe_deploy.local.state import PartRecord, StackRecord, StateFolder, replace_file
from pixelprobe_deploy.modelzoo.catalogue import ShippedModel
from pixelprobe_deploy.triton.targets_file import targets_toml

RECORD = StackRecord(
    complete=True,
    models={"vgg": "ab12"},
    versions={"pixelprobe": "0.1.0"},
    shared_memory_prefix="pixelprobe_1_",
    parts={
        "triton": PartRecord(
            ProcessId(12, "boot/34"),
            {"grpc": "127.0.0.1:1", "http": "127.0.0.1:2", "metrics": "127.0.0.1:3"},
            "/logs/triton.log",
        ),
        "orchestrator": PartRecord(
            ProcessId(13, "boot/35"), {"grpc": "127.0.0.1:4"}, "/logs/orchestrator.log"
        ),
    },
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path)


def silent(_line: str) -> None:
    """Ignores the line."""


def test_record_comes_back_as_it_was(folder: StateFolder) -> None:
    folder.write(RECORD)

    found = folder.read()
    assert found == RECORD
    assert found is not None
    assert list(found.parts) == ["triton", "orchestrator"]


def test_other_programs_find_addresses_and_pids(folder: StateFolder) -> None:
    folder.write(RECORD)

    stack = json.loads(folder.stack_file.read_text())
    assert stack["orchestrator"]["grpc"] == "127.0.0.1:4"
    assert stack["triton"]["pid"] == 12


def test_no_record_is_none_and_clearing_it_twice_is_fine(folder: StateFolder) -> None:
    folder.write(RECORD)
    folder.clear()
    folder.clear()

    assert folder.read() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "complete": true}'])
def test_a_damaged_record_is_named(folder: StateFolder, text: str) -> None:
    folder.stack_file.write_text(text)

    with pytest.raises(StateError, match=r"stack\.json is damaged"):
        folder.read()


def test_home_is_the_option_else_the_variable_else_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXELPROBE_HOME", str(tmp_path / "variable"))
    assert StateFolder(tmp_path / "option").home == tmp_path / "option"
    assert StateFolder().home == tmp_path / "variable"

    monkeypatch.delenv("PIXELPROBE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert StateFolder().home == tmp_path / ".pixelprobe"


def test_replacing_a_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    replace_file(tmp_path / "file", "old")
    replace_file(tmp_path / "file", "new")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "new"


def test_the_lock_is_had_by_one_at_a_time(folder: StateFolder) -> None:
    interrupts = Interrupts()
    interrupts.check()
    told: list[str] = []

    def interrupt_instead_of_waiting(line: str) -> None:
        told.append(line)
        interrupts._remember(signal.SIGINT, None)

    with (
        folder.locked(Interrupts(), silent),
        pytest.raises(Interrupted),
        folder.locked(interrupts, interrupt_instead_of_waiting),
    ):
        pytest.fail("both have the lock")
    assert "Waiting" in told[0]

    with folder.locked(Interrupts(), silent):
        pass


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(StateError, match="file/home"),
        StateFolder(tmp_path / "file/home").locked(Interrupts(), silent),
    ):
        pytest.fail("locked")


def test_signals_wait_for_a_safe_point() -> None:
    before = {signum: signal.getsignal(signum) for signum in SIGNALS}
    interrupts = Interrupts()
    try:
        interrupts.install()
        interrupts.sleep(0)

        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(Interrupted) as caught:
            interrupts.sleep(30)
        assert caught.value.exit_code == 128 + signal.SIGTERM
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def test_targets_file_reads_back() -> None:
    labels = ("cat", 'a "quoted" one', "Größe", "back\\slash")
    models = [ShippedModel(name, Path("x"), "00", labels, 32, 32) for name in ("vgg", "odd.name")]

    parsed = tomllib.loads(targets_toml(models, "127.0.0.1:8001"))

    assert parsed == {
        "targets": {
            name: {
                "protocol": "kserve-grpc",
                "address": "127.0.0.1:8001",
                "labels": list(labels),
                "load_test": True,
            }
            for name in ("vgg", "odd.name")
        }
    }
