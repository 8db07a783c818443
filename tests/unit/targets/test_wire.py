"""The bytes that leave: what is appended by hand must be what protobuf itself would read."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from pixelprobe_services.kserve.errors import BadAnswerError
from pixelprobe_services.kserve.grpc_messages import request_parts
from pixelprobe_services.kserve.tensors import (
    datatype_of,
    from_raw,
    from_values,
    wire_bytes,
)


@pytest.mark.parametrize("size", [1, 127, 128, 16_383, 16_384, 3_000_000])
def test_a_request_by_hand_is_protobufs_own(size: int) -> None:
    images = np.arange(size, dtype=np.uint8).reshape(1, size)
    edits = np.arange(10, dtype=np.int16).reshape(1, 2, 5)
    expected = service_pb2.ModelInferRequest(
        model_name="m",
        inputs=[
            {"name": "images", "datatype": "UINT8", "shape": [1, size]},
            {"name": "edits", "datatype": "INT16", "shape": [1, 2, 5]},
        ],
        outputs=[{"name": "scores"}],
        raw_input_contents=[images.tobytes(), edits.tobytes()],
    )
    written = b"".join(request_parts("m", {"images": images, "edits": edits}, ["scores"]))
    assert service_pb2.ModelInferRequest.FromString(written) == expected
    assert len(written) == expected.ByteSize()


def test_large_arrays_are_not_copied_before_they_are_joined() -> None:
    images = np.zeros((2, 3), np.uint8)
    *_, part = request_parts("m", {"images": images}, [])
    images[0, 0] = 7
    assert bytes(part)[0] == 7


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.int16).reshape(3, 4).T,
        np.arange(12, dtype=np.int32)[::3],
        np.arange(3, dtype=">i4"),
        np.arange(3, dtype="<i4"),
    ],
)
def test_the_wire_is_row_major_and_little_endian(array: np.ndarray[Any, Any]) -> None:
    raw = bytes(wire_bytes(array))
    values = from_raw("x", datatype_of(array.dtype), array.shape, raw)
    np.testing.assert_array_equal(values, array)
    first = array.flat[1]
    assert int.from_bytes(raw[array.itemsize : 2 * array.itemsize], "little") == first
    assert sys.byteorder == "little" or raw != array.tobytes()


@pytest.mark.parametrize(
    ("values", "datatype", "shape"),
    [
        ([1, 2, 3], "FP32", [2, 2]),
        ([], "FP32", [1]),
        (["one"], "FP32", [1]),
        ([[1, 2], [3]], "FP32", [3]),
        ({"a": 1}, "FP32", [1]),
        ([1], "BYTES", [1]),
        ([1], "FP32", [-1]),
        ([300], "INT8", [1]),
    ],
)
def test_listed_values_that_contradict_their_description(
    values: Any, datatype: str, shape: list[int]
) -> None:
    with pytest.raises(BadAnswerError, match="'x'"):
        from_values("x", datatype, shape, values)


def test_listed_values_may_be_flat_or_nested() -> None:
    expected = np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_array_equal(from_values("x", "FP32", [2, 2], [1, 2, 3, 4]), expected)
    np.testing.assert_array_equal(from_values("x", "FP32", [2, 2], [[1, 2], [3, 4]]), expected)
