"""The accuracy of a classifier as Triton serves it: the whole test set, over gRPC. Needs no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from pixelprobe_deploy.modelzoo.card import ServedAccuracy
from pixelprobe_deploy.modelzoo.catalogue import ShippedModel
from pixelprobe_deploy.modelzoo.datasets import LabelledImages
from pixelprobe_deploy.modelzoo.errors import ModelZooError

BATCH_SIZE = 400
TRIES = 3
# Classifying is free of side effects, so it is safe to ask again after these.
RETRIED = frozenset({"StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED"})
WEIGHTS_PARAMETER = "weights_sha256"
"""Parameter of the served model's configuration that holds the digest of its weights."""


class EvaluationError(ModelZooError):
    """Triton did not answer, or what it serves is not the model in question; names model and address."""


class ServedModel:
    """One model behind Triton's gRPC, under the input contract. Close it, or use it in a ``with``.

    ``pause_seconds`` is waited before the first retry and doubles for each further one.
    """

    def __init__(
        self, name: str, address: str, *, timeout_seconds: float = 60.0, pause_seconds: float = 0.5
    ) -> None:
        self._name, self._address = name, address
        self._timeout, self._pause = timeout_seconds, pause_seconds
        self._client = InferenceServerClient(url=address)

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def check_ready(self) -> None:
        """Raise EvaluationError unless the server is there and the model is ready."""
        ready = self._ask(lambda: self._client.is_model_ready(self._name, client_timeout=self._timeout))
        if not ready:
            raise EvaluationError(f"Triton at {self._address} does not serve {self._name}")

    def weights_sha256(self) -> str | None:
        """Digest of the weights in use, hexadecimal; None where the server's configuration has none."""
        answer = self._ask(lambda: self._client.get_model_config(self._name, client_timeout=self._timeout))
        parameters = answer.config.parameters
        if WEIGHTS_PARAMETER not in parameters:
            return None
        return str(parameters[WEIGHTS_PARAMETER].string_value)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """``images`` (n, height, width, 3) uint8 to (n, classes) float32.

        Raises:
            EvaluationError: no answer after TRIES tries, or a refusal.
        """
        tensor = InferInput("image", list(images.shape), "UINT8")
        tensor.set_data_from_numpy(images)
        outputs = [InferRequestedOutput("probabilities")]
        answer = self._ask(
            lambda: self._client.infer(self._name, [tensor], outputs=outputs, client_timeout=self._timeout)
        )
        found: NDArray[np.float32] | None = answer.as_numpy("probabilities")
        if found is None or found.ndim != 2 or len(found) != len(images):
            raise EvaluationError(f"{self._name} at {self._address} gave no probabilities for each image")
        return found

    def _ask(self, call: Callable[[], Any]) -> Any:
        for attempt in range(TRIES):
            try:
                return call()
            except InferenceServerException as error:
                if error.status() not in RETRIED or attempt == TRIES - 1:
                    raise EvaluationError(f"{self._name} at {self._address}: {error.message()}") from error
            time.sleep(self._pause * 2**attempt)
        raise AssertionError("unreachable: the last try returns or raises")


def evaluate(
    served: ServedModel, model: ShippedModel, data: LabelledImages, progress: Callable[[int], None]
) -> ServedAccuracy:
    """Classify all of ``data`` in batches of 400. ``progress`` is called with the number done so far.

    Raises:
        EvaluationError: Triton does not answer, or serves other weights or classes than the card's.
    """
    served.check_ready()
    digest = served.weights_sha256()
    if digest not in {None, model.sha256}:
        raise EvaluationError(
            f"the served {model.name} has other weights (sha256 {digest}) than its card ({model.sha256}): "
            "restart the server with the shipped weights"
        )
    correct = 0
    for start in range(0, len(data.images), BATCH_SIZE):
        found = served.probabilities(data.images[start : start + BATCH_SIZE])
        if found.shape[1] != model.classes:
            raise EvaluationError(
                f"the served {model.name} has {found.shape[1]} classes, not {model.classes}"
            )
        correct += int((found.argmax(axis=1) == data.labels[start : start + BATCH_SIZE]).sum())
        progress(start + len(found))
    return ServedAccuracy(correct, len(data.images), data.encoding)
