"""A KServe v2 HTTP server that misbehaves on demand, and speaks plain JSON tensors only."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import numpy as np
from aiohttp import web

CLASSES = 3
SIDE = 4

Document = dict[str, Any]


def honest(request: Document) -> Document:
    """Scores that depend on each image's first pixel: its colours over their sum."""
    images = np.array(request["inputs"][0]["data"], np.uint8).reshape(-1, SIDE, SIDE, 3)
    colours = images[:, 0, 0].astype(np.float32) + 1
    scores = colours / colours.sum(axis=1, keepdims=True)
    return answer(scores.ravel().tolist(), shape=list(scores.shape))


def answer(data: Any, **changes: Any) -> Document:
    output = {"name": "scores", "datatype": "FP32", "shape": [1, CLASSES], "data": data}
    return {"model_name": "toy", "outputs": [{**output, **changes}]}


class FakeServer:
    """Honest until told otherwise. ``override`` is (status, body) of every inference."""

    def __init__(self) -> None:
        self.tells_extensions = True
        self.metadata: Any = {
            "name": "toy",
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, SIDE, SIDE, 3]}],
            "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, CLASSES]}],
        }
        self.is_ready = True
        self.reply: Callable[[Document], Any] = honest
        self.override: tuple[int, str] | None = None
        self.override_headers: dict[str, str] = {}
        self.delay_seconds = 0.0
        self.hang_up = False
        self.seen = 0
        self.headers: Any = {}
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2**26)
        application.add_routes(
            [
                web.get("/v2", self._server),
                web.get("/v2/models/toy", self._model),
                web.get("/v2/models/toy/ready", self._ready),
                web.post("/v2/models/toy/infer", self._infer),
            ]
        )
        return application

    async def _server(self, request: web.Request) -> web.Response:
        if not self.tells_extensions:
            return web.Response(status=403)
        return web.json_response({"name": "fake", "version": "0", "extensions": []})

    async def _model(self, request: web.Request) -> web.Response:
        return web.json_response(self.metadata)

    async def _ready(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.is_ready else 400)

    async def _infer(self, request: web.Request) -> web.Response:
        self.seen += 1
        self.headers = request.headers
        body = await request.json()
        self.started.set()
        try:
            await asyncio.sleep(self.delay_seconds)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.hang_up:
            assert request.transport
            request.transport.abort()
        if self.override:
            status, text = self.override
            return web.Response(status=status, text=text, headers=self.override_headers)
        return web.json_response(self.reply(body))


async def serve(fake: FakeServer, context: ssl.SSLContext | None = None) -> tuple[web.AppRunner, str]:
    """A started server and its address; it notices clients that hang up."""
    runner = web.AppRunner(fake.application(), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    return runner, f"127.0.0.1:{runner.addresses[0][1]}"
