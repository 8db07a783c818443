from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pixelprobe_deploy.triton.config import HEADER, Backend, ConfigError, DataType, ModelSpec, Tensor, to_text

SPEC = ModelSpec(
    name="vgg",
    backend=Backend.PYTHON,
    max_batch_size=400,
    max_queue_delay_microseconds=250,
    inputs=(Tensor("image", DataType.UINT8, (32, 48, 3)),),
    outputs=(Tensor("probabilities", DataType.FP32, (10,)),),
    parameters={"intra_op_threads": "2", "queries_at_a_time": "100"},
)


def parse(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_text_reads_back_as_what_was_written() -> None:
    config = parse(to_text(SPEC))

    assert (config.name, config.backend, config.max_batch_size) == ("vgg", "python", 400)
    (image,) = config.input
    assert (image.name, image.data_type, list(image.dims)) == (
        "image",
        model_config_pb2.TYPE_UINT8,
        [32, 48, 3],
    )
    (probabilities,) = config.output
    assert (probabilities.data_type, list(probabilities.dims)) == (model_config_pb2.TYPE_FP32, [10])
    assert config.dynamic_batching.max_queue_delay_microseconds == 250
    assert [(group.kind, group.count) for group in config.instance_group] == [
        (model_config_pb2.ModelInstanceGroup.KIND_CPU, 1)
    ]
    assert {key: value.string_value for key, value in config.parameters.items()} == SPEC.parameters


def test_text_says_that_changes_are_lost() -> None:
    assert to_text(SPEC).startswith(HEADER)


def test_unbatched_model_has_no_dynamic_batching() -> None:
    config = parse(to_text(replace(SPEC, max_batch_size=0, max_queue_delay_microseconds=0)))

    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")


def test_batched_model_without_delay_still_batches() -> None:
    assert parse(to_text(replace(SPEC, max_queue_delay_microseconds=0))).HasField("dynamic_batching")


def test_onnxruntime_backend_runs_the_file_on_gpus() -> None:
    config = parse(to_text(replace(SPEC, backend=Backend.ONNXRUNTIME, instances=2, parameters={})))

    assert (config.backend, config.default_model_filename) == ("onnxruntime", "model.onnx")
    (group,) = config.instance_group
    assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a/b"}, "no model name"),
        ({"name": ""}, "no model name"),
        ({"inputs": ()}, "needs inputs"),
        ({"outputs": SPEC.outputs * 2}, "repeat"),
        ({"max_batch_size": -1}, "negative"),
        ({"instances": 0}, "at least 1"),
        ({"max_batch_size": 0}, "delay without batching"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SPEC, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("dims", [(), (0,), (-2, 3)])
def test_impossible_dims_are_refused(dims: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="dims"):
        Tensor("image", DataType.UINT8, dims)
