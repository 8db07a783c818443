"""Which address wins."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from pixelprobe.addresses import AddressError, Addresses, Located, NoStackError, find_addresses, locate


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("PIXELPROBE_ORCHESTRATOR", "PIXELPROBE_SEGMENTATION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIXELPROBE_HOME", str(tmp_path))
    return tmp_path


def test_option_over_environment_over_running_stack(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = {"orchestrator": {"grpc": "127.0.0.1:1002"}, "segmentation": {"grpc": "127.0.0.1:1001"}}
    (home / "stack.json").write_text(json.dumps(stack))
    assert find_addresses() == Addresses("127.0.0.1:1002", "127.0.0.1:1001")
    monkeypatch.setenv("PIXELPROBE_ORCHESTRATOR", "example.org:2002")
    assert find_addresses() == Addresses("example.org:2002", "127.0.0.1:1001")
    assert find_addresses(orchestrator="[::1]:3002").orchestrator == "[::1]:3002"


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"orchestrator": 3}', '{"orchestrator": {"grpc": 3}}']
)
def test_without_a_stack_nothing_is_assumed(home: Path, text: str | None) -> None:
    if text is not None:
        (home / "stack.json").write_text(text)
    with pytest.raises(NoStackError, match="start one with `pixelprobe up`, or name one with --orchestrator"):
        find_addresses()
    with pytest.raises(NoStackError, match="name one with --segmentation"):
        find_addresses(orchestrator="a:1", needed=("orchestrator", "segmentation"))
    assert find_addresses(orchestrator="a:1") == Addresses("a:1", "127.0.0.1:50061")


def test_a_stack_whose_process_has_gone_is_no_stack(home: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    alive = {"grpc": "127.0.0.1:1001", "pid": os.getpid()}
    stack = {"orchestrator": {"grpc": "127.0.0.1:1002", "pid": gone.pid}, "segmentation": alive}
    (home / "stack.json").write_text(json.dumps(stack))
    assert locate("orchestrator") is None
    assert locate("segmentation") == Located("127.0.0.1:1001", "the local stack")


@pytest.mark.parametrize(
    "address", ["localhost", "localhost:", "localhost:0", "a:70000", "a b:1", "http://a:1"]
)
def test_what_is_no_address_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AddressError, match="is not HOST:PORT"):
        find_addresses(orchestrator=address)
    monkeypatch.setenv("PIXELPROBE_SEGMENTATION", address or "?")
    with pytest.raises(AddressError, match="PIXELPROBE_SEGMENTATION"):
        find_addresses()
