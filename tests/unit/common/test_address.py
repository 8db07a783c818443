"""Addresses, and the state folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixelprobe_services.common.address import split_address
from pixelprobe_services.common.files import state_folder


def test_a_tilde_stands_for_the_home_folder_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELPROBE_HOME", "~/x")
    assert state_folder() == Path.home() / "x"
    assert state_folder(Path("~/y")) == Path.home() / "y"
    monkeypatch.delenv("PIXELPROBE_HOME")
    assert state_folder() == Path.home() / ".pixelprobe"


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:50061", "127.0.0.1", 50061),
        ("[::1]:1", "[::1]", 1),
        ("a-host.example:65535", "a-host.example", 65535),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":50061",
        "host:0",
        "host:65536",
        "host:1e3",
        "::1:50061",
        "a b:1",
        "http://h:1",
        "h:1\n",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        split_address(text)


def test_port_0_is_for_listening() -> None:
    assert split_address("[::]:0", lowest_port=0) == ("[::]", 0)
