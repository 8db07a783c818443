"""A JSON API's requests and answers: images into a body's template, scores and labels out by JMESPath."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any, Literal

import jmespath
import numpy as np
from jmespath.exceptions import JMESPathError
from numpy.typing import NDArray
from PIL import Image

from pixelprobe_services.kserve.errors import BadAnswerError, short
from pixelprobe_services.orchestrator.targets.answers import Answer, Listed

ONE, MANY = "$image", "$images"
ImageForm = Literal["png-base64", "jpeg-base64", "raw-base64", "nested", "png", "jpeg", "raw"]
"""How an image stands in a request: base64 text of a file or of the tensor's bytes, nested lists of numbers,
or as the body itself (the last three)."""


def check_template(text: str) -> None:
    """Raises ValueError unless ``text`` is a JSON document that holds "$image" or "$images" once."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a JSON document ({error})") from error
    places = _placeholders(document)
    if len(places) != 1:
        raise ValueError(f'a JSON document in which "{ONE}" or "{MANY}" stands for the image(s), once')


def check_path(expression: str) -> None:
    """Raises ValueError unless ``expression`` is JMESPath."""
    try:
        jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(f"a JMESPath expression ({short(str(error), 120)})") from error


def _placeholders(document: Any) -> list[str]:
    match document:
        case dict():
            return [place for value in document.values() for place in _placeholders(value)]
        case list():
            return [place for value in document for place in _placeholders(value)]
        case str() if MANY in document:
            return [MANY]
        case str() if ONE in document:
            return [ONE]
    return []


@dataclass(frozen=True)
class Body:
    """A request's body and its type."""

    content: bytes
    content_type: str


@dataclass(frozen=True)
class RequestForm:
    """How images become a request.

    Attributes:
        template: JSON text with a placeholder; None sends the image itself as the body.
    """

    image: ImageForm
    template: str | None = None
    jpeg_quality: int = 95

    @property
    def takes_many(self) -> bool:
        """Whether one request carries several images."""
        return self.template is not None and MANY in _placeholders(json.loads(self.template))

    @property
    def is_file(self) -> bool:
        """Whether images travel as image files, which hold 8-bit values alone."""
        return self.image.startswith(("png", "jpeg"))

    def body(self, tensor: NDArray[Any]) -> Body:
        """The body for ``n`` images (one, unless it takes many), from the adapter's tensor."""
        if self.template is None:
            kind = str(self.image).removesuffix("-base64")
            content = tensor[0].tobytes() if kind == "raw" else self._file(tensor[0], kind)
            return Body(content, "application/octet-stream" if kind == "raw" else f"image/{kind}")
        images = [self._value(image) for image in tensor]
        document = _filled(json.loads(self.template), images)
        return Body(json.dumps(document, separators=(",", ":")).encode(), "application/json")

    def _value(self, image: NDArray[Any]) -> Any:
        if self.image == "nested":
            return image.tolist()
        kind = str(self.image).removesuffix("-base64")
        content = image.tobytes() if kind == "raw" else self._file(image, kind)
        return base64.b64encode(content).decode()

    def _file(self, image: NDArray[Any], kind: str) -> bytes:
        file = io.BytesIO()
        encoded = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        if kind == "png":
            encoded.save(file, "PNG", compress_level=1)
        else:
            encoded.save(file, "JPEG", quality=self.jpeg_quality, subsampling=0)
        return file.getvalue()


def _filled(document: Any, images: list[Any]) -> Any:
    """The template with the images in it: a list's one element that holds "$images" comes once an image."""
    match document:
        case dict():
            return {key: _filled(value, images) for key, value in document.items()}
        case [element] if MANY in _placeholders(element):
            return [_with_one(element, MANY, image) for image in images]
        case list():
            return [_filled(value, images) for value in document]
        case str() if document == MANY:
            return images
        case str() if ONE in document:
            return _with_one(document, ONE, images[0])
    return document


def _with_one(document: Any, placeholder: str, image: Any) -> Any:
    match document:
        case dict():
            return {key: _with_one(value, placeholder, image) for key, value in document.items()}
        case list():
            return [_with_one(value, placeholder, image) for value in document]
        case str() if document == placeholder:
            return image
        case str() if placeholder in document and isinstance(image, str):
            return document.replace(placeholder, image)
    return document


class AnswerForm:
    """Where an answer holds scores and labels.

    Args:
        scores: JMESPath of the scores; None where the model answers labels alone.
        labels: JMESPath of the labels beside them; None where scores stand in class order.
    """

    def __init__(self, scores: str | None, labels: str | None) -> None:
        self._scores = jmespath.compile(scores) if scores else None
        self._labels = jmespath.compile(labels) if labels else None
        self.name = scores or labels or "answer"

    def read(self, document: Any, rows: int) -> Answer:
        """The answer to ``rows`` queries.

        Raises:
            BadAnswerError: the paths find nothing usable.
        """
        scores = None if self._scores is None else self._found(self._scores, document)
        if self._labels is None:
            return _numbers(self.name, scores, rows)
        labels = self._rows(self._found(self._labels, document), rows)
        if not all(isinstance(label, str | int) for row in labels for label in row):
            raise BadAnswerError(f"'{self.name}' of the answer does not hold labels")
        if scores is None:
            return Listed(labels, None)
        listed = self._rows(scores, rows)
        return Listed(labels, [[_number(self.name, score) for score in row] for row in listed])

    def _found(self, path: Any, document: Any) -> Any:
        try:
            found = path.search(document)
        except (JMESPathError, TypeError, ValueError, RecursionError) as error:
            raise BadAnswerError(f"'{path.expression}' does not fit the answer") from error
        if found is None:
            raise BadAnswerError(
                f"the answer holds nothing at '{path.expression}'; it is {short(json.dumps(document), 120)}"
            )
        return found

    def _rows(self, found: Any, rows: int) -> list[list[Any]]:
        """Of one query the row itself or a list of it; of several a list of rows (or of single labels)."""
        if not isinstance(found, list):
            found = [found]
        nested = bool(found) and all(isinstance(row, list) for row in found)
        if not nested:
            found = [found] if rows == 1 else [[value] for value in found]
        if len(found) != rows:
            raise BadAnswerError(f"'{self.name}' of the answer has {len(found)} rows, expected {rows}")
        return list(found)


def _numbers(name: str, values: Any, rows: int) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnswerError(f"'{name}' of the answer does not hold rows of numbers") from error
    return array[None] if array.ndim == 1 and rows == 1 else array


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadAnswerError(f"'{name}' of the answer holds {short(repr(value), 40)}, expected a number")
    try:
        return float(value)
    except OverflowError as error:
        raise BadAnswerError(f"'{name}' of the answer holds a number that is too large") from error
