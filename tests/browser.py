"""A headless Chromium, controlled by Chrome's DevTools protocol over a websocket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--remote-debugging-port=0",
)
START_SECONDS = 60.0
CALL_SECONDS = 60.0


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        """Errors on the console, exceptions, and log entries of the browser."""
        self.requests: list[str] = []
        """Addresses that the page requested."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the protocol; events that arrive meanwhile are recorded."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(CALL_SECONDS):
            while True:
                message = await self._next()
                if message.get("id") == number:
                    assert "error" not in message, message
                    result: dict[str, Any] = message["result"]
                    return result

    async def wait_for(self, event: str) -> None:
        """Wait until the event arrives."""
        async with asyncio.timeout(CALL_SECONDS):
            while (await self._next()).get("method") != event:
                pass

    async def open(self, url: str, width: int, height: int = 900) -> None:
        """Load a page completely, in a window of that size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=url)
        await self.wait_for("Page.loadEventFired")

    async def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of the promise that it returns."""
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def _next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._socket.receive_json()
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(f"console.{parameters['type']}: {parameters['args']}")
            case "Log.entryAdded":
                self.complaints.append(str(parameters["entry"]))
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
        return message


@contextlib.asynccontextmanager
async def browser_page(folder: Path) -> AsyncIterator[Page]:
    """Open a tab of a new Chromium, whose profile is in ``folder``."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("no Chromium on PATH: install it (Debian: apt-get install chromium)", pytrace=False)
    process = await asyncio.create_subprocess_exec(
        program,
        *FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    rest: asyncio.Task[bytes] | None = None
    try:
        async with aiohttp.ClientSession() as session:
            assert process.stderr is not None
            address = await _tab(session, process.stderr)
            rest = asyncio.create_task(process.stderr.read())  # or a full pipe would stop the browser
            async with session.ws_connect(address, max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Page", "Runtime", "Log", "Network"):
                    await page.call(f"{domain}.enable")
                yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        if rest is not None:
            await rest


async def _tab(session: aiohttp.ClientSession, messages: asyncio.StreamReader) -> str:
    """Return the websocket address of the first tab; the browser prints on stderr where it listens."""
    async with asyncio.timeout(START_SECONDS):
        port = None
        while port is None:
            line = await messages.readline()
            assert line, "Chromium ended without listening"
            port = re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line)
        async with session.get(f"http://127.0.0.1:{int(port[1])}/json") as response:
            tabs = [tab for tab in await response.json() if tab["type"] == "page"]
    return str(tabs[0]["webSocketDebuggerUrl"])
