"""Models behind JSON APIs: TensorFlow Serving, TorchServe, Hugging Face, and any that a file describes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from numpy.typing import NDArray

from pixelprobe_services.kserve.client import DESCRIBE_TIMEOUT_SECONDS
from pixelprobe_services.kserve.errors import NoAnswerError, RefusedError, where
from pixelprobe_services.kserve.http_session import HttpAnswer, HttpSession
from pixelprobe_services.orchestrator.targets.adapter import Preprocessing
from pixelprobe_services.orchestrator.targets.answers import Answer
from pixelprobe_services.orchestrator.targets.backend import Backend, Served
from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.targets.config import TargetConfig
from pixelprobe_services.orchestrator.targets.json_template import AnswerForm, ImageForm, RequestForm

_LISTED = 5
"""How many classes Hugging Face's pipelines and TorchServe's handler list unless asked otherwise."""

_TENSORFLOW_TYPES = {
    "DT_UINT8": "uint8",
    "DT_INT8": "int8",
    "DT_HALF": "fp16",
    "DT_FLOAT": "fp32",
    "DT_DOUBLE": "fp64",
}
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Protocol:
    """What a protocol fixes, where the file's [request] and [response] do not say otherwise.

    ``{model}`` in a path stands for the model's name.
    """

    path: str = "/"
    image: ImageForm = "png-base64"
    body: str | None = None
    scores: str | None = None
    labels: str | None = None
    ready_path: str | None = None
    lists_classes: bool = False


PROTOCOLS = {
    "tensorflow-serving": Protocol(
        path="/v1/models/{model}:predict",
        image="nested",
        body='{"instances": "$images"}',
        scores="predictions",
        ready_path="/v1/models/{model}",
    ),
    "torchserve": Protocol(
        path="/predictions/{model}",
        image="png",
        scores="values(@)",
        labels="keys(@)",
        ready_path="/ping",
        lists_classes=True,
    ),
    "huggingface": Protocol(
        path="/models/{model}", image="png", scores="[*].score", labels="[*].label", lists_classes=True
    ),
    "json": Protocol(),
}


class RestBackend(Backend):
    """One model behind one JSON API."""

    def __init__(self, config: TargetConfig) -> None:
        super().__init__()
        self.place = where(config.address, config.model)
        self._config = config
        self._protocol = PROTOCOLS[config.protocol]
        self._session = HttpSession(config.endpoint)
        request = config.request
        image = request.image or self._protocol.image
        is_body = image in ("png", "jpeg", "raw")
        self._form = RequestForm(
            image, None if is_body else request.body or self._protocol.body, request.jpeg_quality
        )
        self._path = self._of_model(request.path or self._protocol.path)
        scores = self._protocol.scores
        if config.protocol == "tensorflow-serving" and config.output:
            scores = f'predictions[*]."{config.output}"'
        self._answer = AnswerForm(
            config.response.scores or scores, config.response.labels or self._protocol.labels
        )

    async def describe(self) -> Served:
        self._check_steps()
        size = classes = None
        lines: tuple[str, ...] = (f"{self._config.request.method} {self._session.base}{self._path}",)
        if self._config.protocol == "tensorflow-serving":
            size, classes, signature = await self._signature()
            lines += signature
        return Served(
            size=size,
            classes=classes,
            max_batch=None if self._form.takes_many else 1,
            default_top_k=_LISTED if self._protocol.lists_classes else None,
            metadata=lines,
        )

    async def ready(self) -> bool:
        path = self._protocol.ready_path
        # A HEAD request shows that the server is up, and is no query.
        answer = await self._exchange("HEAD" if path is None else "GET", self._of_model(path or self._path))
        if path is None:
            return answer.status not in _BUSY
        if answer.status == HTTPStatus.OK and self._config.protocol == "tensorflow-serving":
            document = self._session.document(self.place, answer)
            states = document.get("model_version_status", []) if isinstance(document, dict) else []
            return any(isinstance(one, dict) and one.get("state") == "AVAILABLE" for one in states)
        if answer.status == HTTPStatus.NOT_FOUND:
            raise self._session.refusal(self.place, answer)
        return answer.status == HTTPStatus.OK

    async def ask(self, tensor: NDArray[Any]) -> tuple[str, Answer]:
        body = await asyncio.to_thread(self._form.body, tensor)  # nested lists of a batch take a while
        self.traffic.bytes_sent += len(body.content)
        answer = await self._session.exchange(
            self.place,
            self._config.request.method,
            self._path,
            timeout_seconds=self._config.timeout_seconds,
            body=body.content,
            headers={"Content-Type": body.content_type, "Accept": "application/json"},
        )
        self.traffic.bytes_received += len(answer.content)
        if answer.status != HTTPStatus.OK:
            raise self._session.refusal(self.place, answer)
        return self._answer.name, await asyncio.to_thread(self._read, answer, len(tensor))

    async def close(self) -> None:
        await self._session.close()

    def _read(self, answer: HttpAnswer, rows: int) -> Answer:
        document = self._session.document(self.place, answer)
        if self._config.protocol == "torchserve" and isinstance(document, list):
            return AnswerForm("@", None).read(document, rows)  # a handler without the names of classes
        return self._answer.read(document, rows)

    def _check_steps(self) -> None:
        steps = self._config.steps or Preprocessing()
        if self._form.is_file and (steps.dtype != "uint8" or steps.layout != "nhwc"):
            raise TargetError(
                f"{self.place}: image files hold 8-bit NHWC values: dtype and layout need request.image ="
                ' "nested" or "raw-base64" (or "raw")'
            )
        if self._form.template is None and str(self._form.image) not in ("png", "jpeg", "raw"):
            raise TargetError(f'{self.place}: request.body is missing: a JSON document with "$image" in it')

    async def _signature(self) -> tuple[tuple[int, int] | None, int | None, tuple[str, ...]]:
        """Size, classes and lines for people, from TensorFlow Serving's metadata, checked."""
        try:
            answer = await self._exchange("GET", self._of_model("/v1/models/{model}/metadata"))
            if answer.status != HTTPStatus.OK:
                raise self._session.refusal(self.place, answer)
            document = self._session.document(self.place, answer)
            signatures = document["metadata"]["signature_def"]["signature_def"]
            signature = signatures.get("serving_default") or next(iter(signatures.values()))
            inputs, outputs = (
                {name: (str(one["dtype"]), _shape(one)) for name, one in signature[part].items()}
                for part in ("inputs", "outputs")
            )
        except NoAnswerError:
            raise
        except RefusedError:
            return None, None, ()  # an older server, or a gateway before it: the file must say
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise BadMetadataError(f"{self.place}: its metadata is not TensorFlow Serving's") from error
        lines = tuple(
            f"{kind} '{name}' {dtype} {list(shape)}"
            for kind, part in (("input", inputs), ("output", outputs))
            for name, (dtype, shape) in part.items()
        )
        steps = self._config.steps or Preprocessing()
        if len(inputs) != 1:
            raise TargetError(f"{self.place}: has {len(inputs)} inputs, expected one: images; {lines}")
        ((dtype, shape),) = inputs.values()
        size = steps.size_of(shape[1:])
        if _TENSORFLOW_TYPES.get(dtype) != steps.dtype or size is None:
            known = _TENSORFLOW_TYPES.get(dtype, "?")
            raise TargetError(
                f'{self.place}: has the {lines[0]}, the file says dtype = "{steps.dtype}", layout ='
                f' "{steps.layout}"; say dtype = "{known}" and the preprocessing (preset or scale)'
            )
        if len(outputs) > 1 and not self._config.output:
            names = ", ".join(outputs)
            raise TargetError(f'{self.place}: has the outputs {names}: say which (output = "NAME")')
        if self._config.output and self._config.output not in outputs:
            raise TargetError(
                f'{self.place}: has no output "{self._config.output}"; there are {", ".join(outputs)}'
            )
        # One output stands alone in each row; several stand by name.
        if len(outputs) == 1:
            self._answer = AnswerForm(self._config.response.scores or "predictions", None)
        _, result = outputs[self._config.output or next(iter(outputs))]
        rest = [side for side in result[1:] if side != 1]
        classes = rest[0] if len(rest) == 1 and rest[0] > 0 else 1 if not rest and result else None
        return size if min(size) > 0 else None, classes, lines

    async def _exchange(self, method: str, path: str) -> HttpAnswer:
        seconds = min(DESCRIBE_TIMEOUT_SECONDS, self._config.timeout_seconds)
        return await self._session.exchange(self.place, method, path, timeout_seconds=seconds)

    def _of_model(self, path: str) -> str:
        return path.replace("{model}", quote(self._config.model, safe="/"))


class BadMetadataError(RefusedError):
    """A server's description of its model cannot be read."""


def _shape(tensor: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(dimension["size"]) for dimension in tensor["tensor_shape"].get("dim", []))
