"""A Python callable as a model, ``module:function``, in a process of its own.

The process runs :mod:`callable_worker` with any Python interpreter (one that has the model's libraries), so a
crash, a leak or a busy interpreter stays there; the orchestrator itself never imports the operator's code.
"""

from __future__ import annotations

import asyncio
import io
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixelprobe_services.kserve.client import MAX_ANSWER_BYTES
from pixelprobe_services.kserve.errors import (
    BadAnswerError,
    NoAnswerError,
    RefusedError,
    TimedOutError,
    short,
)
from pixelprobe_services.orchestrator.targets import callable_worker
from pixelprobe_services.orchestrator.targets.answers import Answer
from pixelprobe_services.orchestrator.targets.backend import Backend, Served
from pixelprobe_services.orchestrator.targets.config import TargetConfig

_KEPT_BYTES = 4096
_START_SECONDS = 120.0
"""Until the module is imported: frameworks and weights take a while."""


class PythonBackend(Backend):
    """One worker process, started with the first call and again after it died; one request at a time."""

    def __init__(self, config: TargetConfig) -> None:
        super().__init__()
        self.place = f"python: '{config.callable}'"
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._said = bytearray()
        self._listening: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False

    async def describe(self) -> Served:
        return Served(metadata=(f"{self._config.callable}: (n, height, width, 3) uint8 -> (n, classes)",))

    async def ready(self) -> bool:
        async with self._turn:
            await self._started()
        return True

    async def ask(self, tensor: NDArray[Any]) -> tuple[str, Answer]:
        content = io.BytesIO()
        np.save(content, tensor, allow_pickle=False)
        async with self._turn:
            process = await self._started()
            self.traffic.bytes_sent += len(content.getbuffer())
            try:
                async with asyncio.timeout(self._config.timeout_seconds):
                    kind, answer = await self._exchanged(process, content.getbuffer())
            except TimeoutError as error:
                await self._stop()  # it still computes what nothing waits for
                raise TimedOutError(
                    f"{self.place}: no answer within {self._config.timeout_seconds:g} s"
                ) from error
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise NoAnswerError(f"{self.place}: {await self._why_it_ended()}") from error
            except asyncio.CancelledError:
                await self._stop()
                raise
        self.traffic.bytes_received += len(answer)
        if kind == callable_worker.FAILED:
            raise RefusedError(f"{self.place}: {short(answer.decode('utf-8', 'replace'))}")
        try:
            scores: NDArray[Any] = np.load(io.BytesIO(answer), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadAnswerError("the callable's answer cannot be read") from error
        return self._config.callable, scores

    async def close(self) -> None:
        self._closed = True
        await self._stop()

    async def _started(self) -> asyncio.subprocess.Process:
        if self._closed:
            raise NoAnswerError(f"{self.place}: the connection was closed")
        if self._process is not None and self._process.returncode is None:
            return self._process
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self._config.folder.absolute(),
                limit=MAX_ANSWER_BYTES,
            )
        except OSError as error:
            raise RefusedError(f"{self.place}: {self._command()[0]}: {error.strerror or error}") from error
        self._said.clear()
        self._listening = asyncio.create_task(self._listen(self._process))
        try:
            async with asyncio.timeout(_START_SECONDS):
                kind, text = await self._frame(self._process)
        except TimeoutError as error:
            await self._stop()
            raise TimedOutError(f"{self.place}: not imported within {_START_SECONDS:g} s") from error
        except asyncio.IncompleteReadError as error:
            raise RefusedError(f"{self.place}: {await self._why_it_ended()}") from error
        except asyncio.CancelledError:
            await self._stop()
            raise
        if kind == callable_worker.FAILED:
            await self._stop()
            raise RefusedError(f"{self.place}: {short(text.decode('utf-8', 'replace'))}")
        return self._process

    def _command(self) -> Sequence[str]:
        folder = self._config.folder.absolute()
        python = self._config.python or sys.executable
        if "/" in python:
            python = str(folder / Path(python).expanduser())
        return (python, "-u", callable_worker.__file__, self._config.callable, str(folder))

    async def _exchanged(self, process: asyncio.subprocess.Process, content: memoryview) -> tuple[int, bytes]:
        assert process.stdin is not None
        process.stdin.write(struct.pack("<Q", len(content)))
        process.stdin.write(content)
        await process.stdin.drain()
        return await self._frame(process)

    async def _frame(self, process: asyncio.subprocess.Process) -> tuple[int, bytes]:
        assert process.stdout is not None
        kind, length = struct.unpack("<BQ", await process.stdout.readexactly(9))
        if length > MAX_ANSWER_BYTES:
            await self._stop()
            raise RefusedError(f"{self.place}: the answer is over {MAX_ANSWER_BYTES} bytes")
        return kind, await process.stdout.readexactly(length)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Read what the process writes to stderr, so that it never blocks; keep the end."""
        assert process.stderr is not None
        while part := await process.stderr.read(2**16):
            self._said += part
            del self._said[:-_KEPT_BYTES]

    async def _why_it_ended(self) -> str:
        """The last line of what the process wrote to stderr, and its exit status."""
        process, self._process = self._process, None
        if process is None:
            return "its process ended"
        status = await process.wait()
        if self._listening is not None:
            await self._listening
        said = self._said.decode("utf-8", "replace").strip().splitlines()
        return f"its process ended with status {status}" + (f": {short(said[-1])}" if said else "")

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()
        if self._listening is not None:
            await self._listening
            self._listening = None
