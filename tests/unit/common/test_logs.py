"""JSON log lines: one object each, whatever is in them, and what they were about."""

from __future__ import annotations

import asyncio
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pixelprobe_services.server.interceptors import request_id
from pixelprobe_services.server.logs import about
from pixelprobe_services.server.settings import StartError, configure_logging

log = logging.getLogger("test.logs")


@pytest.fixture(autouse=True)
def json_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    monkeypatch.setenv("PIXELPROBE_LOG_FORMAT", "json")
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    logging.captureWarnings(False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_outside_of_everything(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    log.info("all %s", "well")
    (line,) = lines(capsys)
    moment = datetime.fromisoformat(line.pop("time"))
    assert moment.tzinfo == UTC
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 10
    assert line == {"level": "INFO", "logger": "test.logs", "message": "all well", "request_id": "-"}


def test_lines_say_which_request_campaign_and_attack(capsys: pytest.CaptureFixture[str]) -> None:
    async def attack() -> None:
        with about("c1", 7):
            log.info("under way")
        log.info("between two")

    async def run() -> None:
        request_id.set("r1")
        with about("c1"):
            task = asyncio.create_task(attack())
        await task
        log.info("after")

    configure_logging()
    asyncio.run(run())
    told = [(line["request_id"], line.get("campaign"), line.get("attack")) for line in lines(capsys)]
    assert told == [("r1", "c1", 7), ("r1", "c1", None), ("r1", None, None)]


def test_an_exception_is_a_field_of_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    try:
        raise ValueError("two\nlines, and an \u2028 or \udc80")
    except ValueError:
        log.exception("it failed:\n%s", "badly")
    (line,) = lines(capsys)
    assert line["message"] == "it failed:\nbadly"
    assert line["exception"].startswith("Traceback")
    assert "two\nlines" in line["exception"]


def test_warnings_of_libraries_are_lines_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines(capsys)
    assert (line["level"], line["logger"]) == ("WARNING", "py.warnings")
    assert "DeprecationWarning: old" in line["message"]


def test_an_unknown_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_FORMAT", "xml")
    with pytest.raises(StartError, match="PIXELPROBE_LOG_FORMAT: 'xml' is none of text, json"):
        configure_logging()


def test_a_text_line_shows_control_characters_instead_of_sending_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIXELPROBE_LOG_FORMAT", "text")
    configure_logging()
    try:
        raise ValueError("target said \x1b]52;c;aGk=\x07")
    except ValueError:
        log.exception("campaign %s", "x\x1b[2J\nERROR forged line")
    written = capsys.readouterr().err
    assert not set(written) & {"\x1b", "\x07"}
    first, *traceback = written.splitlines()
    assert first.endswith(r"campaign x\x1b[2J ERROR forged line")
    assert traceback[-1] == r"ValueError: target said \x1b]52;c;aGk=\x07"
