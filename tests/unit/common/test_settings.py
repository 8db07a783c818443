"""Settings come from the command line or the environment; what is wrong is one line and exit code 2."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import click
import pytest

from pixelprobe_services.server.interceptors import request_id
from pixelprobe_services.server.settings import StartError, address, configure_logging, run, setting


def command() -> click.Command:
    @click.command()
    @setting("--listen", "TEST_LISTEN", type=address)
    @setting("--targets", "TEST_TARGETS", default="none")
    def main(listen: str, targets: str) -> None:
        if targets == "bad":
            raise StartError("targets: no such\nfile")
        click.echo(f"{listen} {targets}")

    return main


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as stop:
        run(command(), arguments)
    out, err = capsys.readouterr()
    return stop.value.code, out.strip(), err.strip()


def test_options_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "--listen", "[::1]:0", "--targets", "t") == (0, "[::1]:0 t", "")


def test_the_environment_fills_in_and_options_win(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_LISTEN", "a:1")
    monkeypatch.setenv("TEST_TARGETS", "e")
    assert outcome(capsys) == (0, "a:1 e", "")
    assert outcome(capsys, "--listen", "b:2") == (0, "b:2 e", "")


def test_a_missing_setting_names_both_ways_to_give_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome(capsys)
    assert (code, out) == (2, "")
    assert err.endswith("missing setting: give --listen or set TEST_LISTEN")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("value", ["host", "host:", ":80", "host:port", "host:65536", "host:-1", "host:²"])
def test_a_bad_address_is_one_line(capsys: pytest.CaptureFixture[str], value: str) -> None:
    code, _, err = outcome(capsys, "--listen", value)
    assert code == 2
    assert "--listen" in err
    assert "TEST_LISTEN" in err
    assert len(err.splitlines()) == 1


def test_a_start_that_fails_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = outcome(capsys, "--listen", "a:1", "--targets", "bad")
    assert code == 2
    assert err.endswith("targets: no such file")


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--help")
    assert code == 0
    assert "TEST_LISTEN" in out


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


def test_logs_go_to_stderr_with_the_request_id(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, root_logger: logging.Logger
) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_LEVEL", "warning")
    configure_logging()
    token = request_id.set("req-1")
    logging.getLogger("test").info("quiet")
    logging.getLogger("test").warning("loud")
    request_id.reset(token)
    out, err = capsys.readouterr()
    assert out == ""
    assert "quiet" not in err
    assert err.endswith("WARNING test [req-1] loud\n")


def test_an_unknown_level_is_refused(monkeypatch: pytest.MonkeyPatch, root_logger: logging.Logger) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_LEVEL", "chatty")
    with pytest.raises(StartError, match="PIXELPROBE_LOG_LEVEL: 'chatty'"):
        configure_logging()
