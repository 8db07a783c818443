"""What one ``[targets.NAME]`` table of the targets file may say, key by key, as pydantic models."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from pixelprobe_services.common.validation import FileModel, Flag, Number, Text, Whole, expected
from pixelprobe_services.orchestrator.targets.adapter import Channels, Layout, Resize
from pixelprobe_services.orchestrator.targets.answers import Activation, OutputKind
from pixelprobe_services.orchestrator.targets.json_template import ImageForm, check_path, check_template

LARGEST_SIDE = 4096
_SECONDS = "seconds, more than 0 and at most 86400"

_URL_PATH = StringConstraints(pattern=r"^/[!\"$-~]*$")
_CALLABLE = StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")


def _template(value: Any) -> Any:
    try:
        check_template(value if isinstance(value, str) else "")
    except ValueError as error:
        raise expected(str(error)) from error
    return value


def _path(value: Any) -> Any:
    try:
        check_path(value if isinstance(value, str) else "")
    except ValueError as error:
        raise expected(str(error)) from error
    return value


def _batch(value: Any) -> Any:
    fixed = isinstance(value, str) and re.fullmatch(r"fixed:[1-9][0-9]{0,4}", value)
    if not fixed and not (type(value) is int and 1 <= value <= 10**5):
        raise expected('a whole number from 1 to 100000, or "fixed:N" for requests of exactly N')
    return value


def _size(value: Any) -> Any:
    sides = value if isinstance(value, list) else []
    if len(sides) != 2 or not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
        raise expected(f"[width, height] in pixels, each from 1 to {LARGEST_SIDE}")
    return value


def _one_a_channel(value: Any) -> Any:
    numbers = value if isinstance(value, list) else [value]
    if len(numbers) not in (1, 3) or not all(type(n) in (int, float) and abs(n) < 1e9 for n in numbers):
        raise expected("a number, or a list of 3, one a channel in the order sent")
    return numbers


def _above_zero(value: Any) -> Any:
    numbers = _one_a_channel(value)
    if min(numbers) <= 0:
        raise expected("numbers above 0")
    return numbers


Count = Annotated[Whole, Field(ge=1, le=100_000)]
HeaderFile = Annotated[Text, Field(description="the path of the file that holds the header's value")]
HeaderVariable = Annotated[
    Text, Field(description="the name of the environment variable that holds the header's value")
]
Rate = Annotated[Number, Field(gt=0, le=1e9)]
Size = Annotated[tuple[int, int], BeforeValidator(_size)]
Path_ = Annotated[str, BeforeValidator(_path)]


class RequestTable(FileModel):
    """``[targets.NAME.request]``: how an HTTP API is called."""

    method: Literal["POST", "PUT"] = "POST"
    path: Annotated[str, _URL_PATH] | None = Field(default=None, description='a path such as "/v1/predict"')
    image: ImageForm | None = None
    jpeg_quality: Annotated[Whole, Field(ge=1, le=100)] = 95
    body: Annotated[str, BeforeValidator(_template)] | None = None


class ResponseTable(FileModel):
    """``[targets.NAME.response]``: where an answer holds what, in JMESPath."""

    scores: Path_ | None = None
    labels: Path_ | None = None


class TargetTable(FileModel):
    """``[targets.NAME]``. What keys mean is said in docs/targets.md."""

    protocol: Text
    address: Text | None = None
    model: Text | None = None
    labels: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    labels_file: Text | None = None
    classes: Annotated[Whole, Field(ge=2, le=1_000_000)] | None = None
    max_batch: Count | None = None
    batch: Annotated[int | str, BeforeValidator(_batch)] | None = None
    max_in_flight: Annotated[Whole, Field(ge=1, le=1_000)] = 3
    timeout_seconds: Annotated[Number, Field(gt=0, le=86_400, description=_SECONDS)] = 60.0
    sparse: Literal["auto", "never"] = "auto"
    tls: Flag = False
    tls_ca: Text | None = None
    tls_cert: Text | None = None
    tls_key: Text | None = None
    # Not shown in messages: a secret may stand here by mistake.
    headers_files: dict[str, HeaderFile] = Field(
        default_factory=dict, repr=False, description='a table, {header = "FILE that holds its value"}'
    )
    headers_env: dict[str, HeaderVariable] = Field(
        default_factory=dict, repr=False, description='a table, {header = "VARIABLE that holds its value"}'
    )
    preset: Literal["torchvision", "keras-caffe", "keras-tf", "0-1"] | None = None
    input: Text | None = None
    output: Text | None = None
    output_labels: Text | None = None
    layout: Layout | None = None
    dtype: Literal["uint8", "int8", "fp16", "fp32", "fp64"] | None = None
    channels: Channels | None = None
    size: Size | None = None
    model_size: Size | None = None
    resize: Resize | None = None
    scale: Annotated[Number, Field(gt=0, le=1e9)] | None = None
    mean: Annotated[tuple[float, ...], BeforeValidator(_one_a_channel)] | None = None
    std: Annotated[tuple[float, ...], BeforeValidator(_above_zero)] | None = None
    output_kind: OutputKind | None = None
    activation: Activation | None = None
    sum_tolerance: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Count | None = None
    request: RequestTable | None = None
    response: ResponseTable | None = None
    callable: Annotated[str, _CALLABLE] | None = Field(default=None, description='"module:function"')
    python: Text | None = None
    options: dict[str, Any] | None = None
    max_queries_per_second: Rate | None = None
    max_requests_per_second: Rate | None = None
    daily_queries: Annotated[Whole, Field(ge=1, le=10**15)] | None = None
    deterministic: Flag | None = None
    cost_per_1000_queries: Annotated[Number, Field(ge=0, le=1e9)] | None = None
    load_test: Flag = False


class TargetsFile(FileModel):
    """The whole file."""

    targets: dict[str, TargetTable]
