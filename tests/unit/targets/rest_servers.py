"""Small HTTP servers of other protocols around one network: TensorFlow Serving's REST API, TorchServe's,
Hugging Face's image classification and a JSON API of its own making.

TensorFlow Serving and TorchServe themselves are not to be had from PyPI in a reasonable size.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray
from PIL import Image

LABELS = ("cat", "dog", "frog", "hen", "owl", "pig", "rat")
HEIGHT, WIDTH = 4, 6
WEIGHTS = np.random.default_rng(0).normal(0, 0.01, (HEIGHT * WIDTH * 3, len(LABELS))).astype(np.float32)


def network(images: NDArray[Any]) -> NDArray[np.float32]:
    """(n, 7) softmax of a linear map of (n, 4, 6, 3) values from 0 to 255."""
    logits = images.reshape(len(images), -1).astype(np.float64) @ WEIGHTS.astype(np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores


def decoded(content: bytes) -> NDArray[np.uint8]:
    """(1, 4, 6, 3), from an image file."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))[None]


class RestServers:
    """All protocols on one port; ``fault`` answers instead where a test sets it."""

    def __init__(self) -> None:
        self.fault: Any = None
        self.queries = 0
        self.headers: Any = {}
        self.ready = True

    def application(self) -> web.Application:
        application = web.Application(client_max_size=2**26, middlewares=[self._faulty])
        application.add_routes(
            [
                web.get("/v1/models/net", self._tensorflow_status),
                web.get("/v1/models/net/metadata", self._tensorflow_metadata),
                web.post("/v1/models/net:predict", self._tensorflow),
                web.get("/ping", self._ping),
                web.post("/predictions/net", self._torchserve),
                web.post("/models/owner/net", self._huggingface),
                web.post("/api/classify", self._json),
                web.post("/api/one", self._one),
            ]
        )
        return application

    @web.middleware
    async def _faulty(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.method == "POST":
            self.queries += 1
            self.headers = request.headers
            if self.fault is not None:
                return self.fault()  # type: ignore[no-any-return]
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _tensorflow_status(self, request: web.Request) -> web.Response:
        state = "AVAILABLE" if self.ready else "LOADING"
        return web.json_response({"model_version_status": [{"version": "1", "state": state}]})

    async def _tensorflow_metadata(self, request: web.Request) -> web.Response:
        def tensor(*sizes: int) -> dict[str, Any]:
            return {
                "dtype": "DT_FLOAT",
                "tensor_shape": {"dim": [{"size": str(size)} for size in sizes], "unknown_rank": False},
            }

        signature = {
            "inputs": {"x": tensor(-1, HEIGHT, WIDTH, 3)},
            "outputs": {"y": tensor(-1, len(LABELS))},
            "method_name": "tensorflow/serving/predict",
        }
        return web.json_response(
            {"metadata": {"signature_def": {"signature_def": {"serving_default": signature}}}}
        )

    async def _tensorflow(self, request: web.Request) -> web.Response:
        images = np.array((await request.json())["instances"], np.float32) * 255  # it takes 0 to 1
        return web.json_response({"predictions": network(images).tolist()})

    async def _ping(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"status": "Healthy" if self.ready else "Unhealthy"}, status=200 if self.ready else 500
        )

    async def _torchserve(self, request: web.Request) -> web.Response:
        (scores,) = network(decoded(await request.read()))
        best = np.argsort(-scores, kind="stable")[:5]
        return web.json_response({LABELS[index]: float(scores[index]) for index in best})

    async def _huggingface(self, request: web.Request) -> web.Response:
        assert request.content_type == "image/png"
        (scores,) = network(decoded(await request.read()))
        best = np.argsort(-scores, kind="stable")[:5]
        return web.json_response([{"label": LABELS[index], "score": float(scores[index])} for index in best])

    async def _json(self, request: web.Request) -> web.Response:
        body = await request.json()
        images = np.concatenate([decoded(base64.b64decode(one["b64"])) for one in body["inputs"]])
        return web.json_response({"results": [{"scores": row} for row in network(images).tolist()]})

    async def _one(self, request: web.Request) -> web.Response:
        url = (await request.json())["image_url"]
        (scores,) = network(decoded(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
        return web.json_response({"class": LABELS[int(scores.argmax())], "percent": (scores * 100).tolist()})


async def serve(servers: RestServers) -> tuple[web.AppRunner, str]:
    """A started server and its address."""
    runner = web.AppRunner(servers.application(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"127.0.0.1:{runner.addresses[0][1]}"
