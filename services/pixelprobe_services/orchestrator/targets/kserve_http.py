"""KServe v2 over HTTP: raw bytes where the server has the binary tensor extension, else tensors as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from numpy.typing import NDArray

from pixelprobe_services.common import tracing
from pixelprobe_services.kserve.tensors import (
    BadAnswerError,
    ModelConfiguration,
    ModelMetadata,
    TensorSpec,
    datatype_of,
    from_raw,
    from_values,
    wire_bytes,
)
from pixelprobe_services.kserve.tls import http_context
from pixelprobe_services.kserve.transport import (
    DESCRIBE_TIMEOUT_SECONDS,
    MAX_ANSWER_BYTES,
    Transport,
    short,
    where,
)
from pixelprobe_services.orchestrator.targets.base import TargetError, TargetStats, TargetUnavailableError
from pixelprobe_services.orchestrator.targets.config import TargetConfig

_BINARY_EXTENSION = "binary_tensor_data"
_JSON_LENGTH = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON; raw tensors follow them."""

_SAFE_TO_REPEAT = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class HttpTransport(Transport):
    """One pool of connections, opened with the first question."""

    def __init__(self, config: TargetConfig, *, binary: bool | None = None) -> None:
        """``binary``: whether to use the binary tensor extension; None asks the server for it."""
        self._config = config
        self._base = f"{'https' if config.tls else 'http'}://{config.address.rstrip('/')}/v2"
        self._session: aiohttp.ClientSession | None = None
        self._binary = binary
        self._closed = False

    async def metadata(self, model: str) -> ModelMetadata:
        document = await self._ask(model, _path(model))
        if self._binary is None:  # found out here, so that a query is one exchange and no more
            self._binary = await self._has_binary_extension(model)
        try:
            return ModelMetadata(_specs(document["inputs"]), _specs(document["outputs"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise TargetError(f"{self._where(model)}: its metadata is not KServe v2's") from error

    async def ready(self, model: str) -> bool:
        status, _, _ = await self._exchange(model, "GET", _path(model) + "/ready", self._short_timeout)
        return status == HTTPStatus.OK

    async def configuration(self, model: str) -> ModelConfiguration:
        document = await self._ask(model, _path(model) + "/config")
        known = document if isinstance(document, dict) else {}
        size, parameters = known.get("max_batch_size"), known.get("parameters")
        return ModelConfiguration(
            size if isinstance(size, int) else 0,
            {
                key: value["string_value"]
                for key, value in (parameters if isinstance(parameters, dict) else {}).items()
                if isinstance(value, dict) and isinstance(value.get("string_value"), str)
            },
        )

    async def infer(
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str], stats: TargetStats
    ) -> dict[str, NDArray[Any]]:
        body, headers = (_binary_request if self._binary else _json_request)(inputs, outputs)
        stats.bytes_sent += len(body)
        status, received, content = await self._exchange(
            model, "POST", _path(model) + "/infer", self._config.timeout_seconds, body, headers
        )
        stats.bytes_received += len(content)
        if status != HTTPStatus.OK:
            raise self._refusal(model, status, content)
        return _read_reply(content, received.get(_JSON_LENGTH), outputs)

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _has_binary_extension(self, model: str) -> bool:
        try:
            document = await self._ask(model, "")
        except TargetUnavailableError:
            raise
        except TargetError:
            return False  # it does not tell: what every server understands will do
        extensions = document.get("extensions") if isinstance(document, dict) else None
        return isinstance(extensions, list) and _BINARY_EXTENSION in extensions

    async def _ask(self, model: str, path: str) -> Any:
        status, _, content = await self._exchange(model, "GET", path, self._short_timeout)
        if status != HTTPStatus.OK:
            raise self._refusal(model, status, content)
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise TargetError(f"{self._where(model)}: {self._base}{path} does not answer JSON") from error

    async def _exchange(
        self,
        model: str,
        method: str,
        path: str,
        timeout_seconds: float,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        session = self._connect(model)
        try:
            async with session.request(
                method,
                self._base + path,
                # As a stream, a large body does not block the event loop; its length is known all the same.
                data=io.BytesIO(body) if body else None,
                headers={**(headers or {}), **dict(tracing.carried())},
                timeout=aiohttp.ClientTimeout(total=timeout_seconds),
                allow_redirects=False,  # a redirected query would be a second one
            ) as response:
                content = await _bounded(response)
                if content is None:
                    raise TargetError(f"{self._where(model)}: the answer is over {MAX_ANSWER_BYTES} bytes")
                return response.status, response.headers, content
        except TimeoutError as error:
            raise TargetUnavailableError(
                f"{self._where(model)}: no answer within {timeout_seconds:g} s"
            ) from error
        except aiohttp.ClientError as error:
            raise TargetUnavailableError(
                f"{self._where(model)}: {short(str(error) or type(error).__name__)}"
            ) from error

    def _refusal(self, model: str, status: int, content: bytes) -> TargetError:
        try:
            details = str(json.loads(content)["error"])
        except (ValueError, KeyError, TypeError, RecursionError):
            details = content.decode("utf-8", "replace").strip() or "no details"
        message = f"{self._where(model)}: HTTP {status}: {short(details)}"
        return TargetUnavailableError(message) if status in _SAFE_TO_REPEAT else TargetError(message)

    def _connect(self, model: str) -> aiohttp.ClientSession:
        if self._closed:
            raise TargetUnavailableError(f"{self._where(model)}: the connection was closed")
        if self._session is None:
            context = http_context(self._config) if self._config.tls else False
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=context),  # the batcher bounds what is under way
                # Without compression: it would save a few bytes of an answer and cost the server time.
                headers={"Accept-Encoding": "identity", **dict(self._config.headers)},
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=_proxy(self._base),
            )
        return self._session

    @property
    def _short_timeout(self) -> float:
        return min(DESCRIBE_TIMEOUT_SECONDS, self._config.timeout_seconds)

    def _where(self, model: str) -> str:
        return where(self._config.address, model)


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None if it is over MAX_ANSWER_BYTES; it may have no end."""
    content = bytearray()
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            return None
    return bytes(content)


def _proxy(url: str) -> str | None:
    """The proxy that http_proxy, https_proxy and no_proxy ask for, as gRPC takes it."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)


def _path(model: str) -> str:
    return f"/models/{quote(model, safe='')}"


def _binary_request(
    inputs: Mapping[str, NDArray[Any]], outputs: Iterable[str]
) -> tuple[bytes, dict[str, str]]:
    document = {
        "inputs": [
            {**_described(name, array), "parameters": {"binary_data_size": array.nbytes}}
            for name, array in inputs.items()
        ],
        "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
    }
    header = json.dumps(document, separators=(",", ":")).encode()
    body = b"".join([header, *(wire_bytes(array) for array in inputs.values())])
    return body, {_JSON_LENGTH: str(len(header)), "Content-Type": "application/octet-stream"}


def _json_request(inputs: Mapping[str, NDArray[Any]], outputs: Iterable[str]) -> tuple[bytes, dict[str, str]]:
    document = {
        "inputs": [
            {**_described(name, array), "data": array.ravel().tolist()} for name, array in inputs.items()
        ],
        "outputs": [{"name": name} for name in outputs],
    }
    return json.dumps(document, separators=(",", ":")).encode(), {"Content-Type": "application/json"}


def _described(name: str, array: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype_of(array.dtype), "shape": list(array.shape)}


def _read_reply(content: bytes, json_length: str | None, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    try:
        end = len(content) if json_length is None else int(json_length)
        found = {output["name"]: output for output in json.loads(content[:end])["outputs"]}
        raw, answer = memoryview(content)[end:], {}
        for name, output in found.items():
            shape = [int(size) for size in output["shape"]]
            size = output.get("parameters", {}).get("binary_data_size")
            if size is None:
                answer[name] = from_values(name, output["datatype"], shape, output["data"])
            else:
                answer[name] = from_raw(name, output["datatype"], shape, raw[:size])
                raw = raw[size:]
    except BadAnswerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadAnswerError("the answer is not KServe v2's") from error
    for name in wanted:
        if name not in answer:
            raise BadAnswerError(f"the answer lacks output '{name}'")
    return answer


def _specs(tensors: Iterable[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(tensor["name"], tensor["datatype"], tuple(int(size) for size in tensor["shape"]))
        for tensor in tensors
    )
