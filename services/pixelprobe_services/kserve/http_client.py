"""KServe v2 over HTTP: raw bytes where the server has the binary tensor extension, else tensors as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from numpy.typing import NDArray

from pixelprobe_services.kserve.client import DESCRIBE_TIMEOUT_SECONDS, Client, Traffic
from pixelprobe_services.kserve.endpoint import Endpoint
from pixelprobe_services.kserve.errors import BadAnswerError, NoAnswerError, RefusedError, where
from pixelprobe_services.kserve.http_session import HttpAnswer, HttpSession
from pixelprobe_services.kserve.tensors import (
    ModelConfiguration,
    ModelMetadata,
    TensorSpec,
    datatype_of,
    from_raw,
    from_values,
    wire_bytes,
)

_BINARY_EXTENSION = "binary_tensor_data"
_JSON_LENGTH = "Inference-Header-Content-Length"
"""The header that says how many bytes of a body are JSON; raw tensors follow them."""


class HttpClient(Client):
    """One pool of connections, opened with the first call."""

    def __init__(self, endpoint: Endpoint, *, binary: bool | None = None) -> None:
        """``binary``: whether to use the binary tensor extension; None asks the server for it."""
        self.traffic = Traffic()
        self._endpoint = endpoint
        self._session = HttpSession(endpoint)
        self._binary = binary

    async def metadata(self, model: str) -> ModelMetadata:
        document = await self._ask(model, _path(model))
        if self._binary is None:  # asked once here, so that a query is a single exchange
            self._binary = await self._has_binary_extension(model)
        try:
            return ModelMetadata(_specs(document["inputs"]), _specs(document["outputs"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise RefusedError(f"{self._where(model)}: its metadata is not KServe v2's") from error

    async def ready(self, model: str) -> bool:
        return (await self._get(model, _path(model) + "/ready")).status == HTTPStatus.OK

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
        self, model: str, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        body, headers = (_binary_request if self._binary else _json_request)(inputs, outputs)
        self.traffic.bytes_sent += len(body)
        answer = await self._session.exchange(
            self._where(model),
            "POST",
            f"/v2{_path(model)}/infer",
            timeout_seconds=self._endpoint.timeout_seconds,
            body=body,
            headers=headers,
        )
        self.traffic.bytes_received += len(answer.content)
        if answer.status != HTTPStatus.OK:
            raise self._session.refusal(self._where(model), answer)
        if answer.is_html:
            self._session.document(self._where(model), answer)
        return read_answer(answer.content, answer.headers.get(_JSON_LENGTH), outputs)

    async def close(self) -> None:
        await self._session.close()

    async def _has_binary_extension(self, model: str) -> bool:
        try:
            document = await self._ask(model, "")
        except NoAnswerError:
            raise
        except RefusedError:
            return False  # it does not say: what every server understands will do
        extensions = document.get("extensions") if isinstance(document, dict) else None
        return isinstance(extensions, list) and _BINARY_EXTENSION in extensions

    async def _ask(self, model: str, path: str) -> Any:
        answer = await self._get(model, path)
        if answer.status != HTTPStatus.OK:
            raise self._session.refusal(self._where(model), answer)
        return self._session.document(self._where(model), answer)

    async def _get(self, model: str, path: str) -> HttpAnswer:
        seconds = min(DESCRIBE_TIMEOUT_SECONDS, self._endpoint.timeout_seconds)
        return await self._session.exchange(self._where(model), "GET", f"/v2{path}", timeout_seconds=seconds)

    def _where(self, model: str) -> str:
        return where(self._endpoint.address, model)


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


def read_answer(content: bytes, json_length: str | None, wanted: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The wanted outputs of an answer's body; ``json_length`` is its header of how much of it is JSON.

    Raises:
        BadAnswerError: it does not parse, lacks an output, or contradicts itself.
    """
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
