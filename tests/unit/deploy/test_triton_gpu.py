"""Model configurations for GPUs, as text; no test here runs them on a GPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pixelprobe_deploy.triton.__main__ import main
from pixelprobe_deploy.triton.config import Accelerator, Backend, ConfigError, Sample, to_text
from pixelprobe_deploy.triton.contract import read_model
from pixelprobe_deploy.triton.repository import Options, Source, build_repository, classifier_spec, edits_spec
from tests.unit.deploy.tiny import (
    HEIGHT,
    WIDTH,
    read_classifier,
    tiny_model,
    tiny_saliency_model,
    write_model,
)

GPUS = Options(Backend.ONNXRUNTIME, max_batch_size=64)
NAMES = ("tiny", "tiny_edits", "salient")


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    return [
        Source("tiny", write_model(tmp_path / "tiny.onnx", tiny_model())),
        Source("salient", write_model(tmp_path / "salient.onnx", tiny_saliency_model())),
    ]


def configs(sources: list[Source], folder: Path, options: Options) -> dict[str, Any]:
    """Each model's config.pbtxt as Triton reads it."""
    build_repository(sources, folder, options)
    return {
        name: text_format.Parse((folder / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        for name in NAMES
    }


def test_two_instances_run_on_each_gpu(sources: list[Source], tmp_path: Path) -> None:
    for found in configs(sources, tmp_path / "models", GPUS).values():
        (group,) = found.instance_group
        assert (group.kind, group.count) == (model_config_pb2.ModelInstanceGroup.KIND_GPU, 2)
        assert not group.gpus, "all that there are"


def test_whole_images_are_batched_and_sparse_queries_come_as_they_are(
    sources: list[Source], tmp_path: Path
) -> None:
    found = configs(sources, tmp_path / "models", GPUS)

    assert {name: model.max_batch_size for name, model in found.items()} == dict(
        zip(NAMES, (64, 0, 16), strict=True)
    )
    assert {name: model.HasField("dynamic_batching") for name, model in found.items()} == dict(
        zip(NAMES, (True, False, True), strict=True)
    )


def test_every_model_is_warmed_up_with_one_query_and_with_the_most(
    sources: list[Source], tmp_path: Path
) -> None:
    found = configs(sources, tmp_path / "models", GPUS)

    image = {"image": [HEIGHT, WIDTH, 3]}
    assert [(sample.batch_size, dims(sample)) for sample in found["tiny"].model_warmup] == [
        (1, image),
        (64, image),
    ]
    assert [(sample.batch_size, dims(sample)) for sample in found["salient"].model_warmup] == [
        (1, image),
        (16, image),
    ]
    assert [(sample.batch_size, dims(sample)) for sample in found["tiny_edits"].model_warmup] == [
        (1, {"images": [1, HEIGHT, WIDTH, 3], "image_index": [n], "edits": [n, 1, 5], "classes": [n, 1]})
        for n in (1, 64)
    ]
    for model in found.values():
        types = {tensor.name: tensor.data_type for tensor in model.input}
        for sample in model.model_warmup:
            assert {name: given.data_type for name, given in sample.inputs.items()} == types
            assert all(given.zero_data for given in sample.inputs.values())


def test_a_model_that_takes_one_at_a_time_is_warmed_up_once(sources: list[Source], tmp_path: Path) -> None:
    found = configs(sources, tmp_path / "models", replace(GPUS, max_batch_size=1))

    assert [len(model.model_warmup) for model in found.values()] == [1, 1, 1]


def test_cuda_alone_unless_tensorrt_is_asked_for(sources: list[Source], tmp_path: Path) -> None:
    for found in configs(sources, tmp_path / "models", GPUS).values():
        assert not found.HasField("optimization")


def test_tensorrt_keeps_single_precision_and_its_engines(sources: list[Source], tmp_path: Path) -> None:
    found = configs(sources, tmp_path / "models", replace(GPUS, tensorrt=True))

    prefixes = set()
    for model in found.values():
        (accelerator,) = model.optimization.execution_accelerators.gpu_execution_accelerator
        parameters = dict(accelerator.parameters)
        prefixes.add(parameters.pop("trt_engine_cache_prefix"))
        assert accelerator.name == "tensorrt"
        assert parameters == {
            "precision_mode": "FP32",
            "max_workspace_size_bytes": "1073741824",
            "trt_engine_cache_enable": "true",
            "trt_engine_cache_path": "/var/cache/tensorrt",
            "trt_force_sequential_engine_build": "true",
        }
    assert len(prefixes) == len(NAMES), "each model has engines of its own"


def test_new_weights_get_new_engines(sources: list[Source], tmp_path: Path) -> None:
    def prefix() -> str:
        found = configs(sources, tmp_path / "models", replace(GPUS, tensorrt=True))["tiny_edits"]
        (accelerator,) = found.optimization.execution_accelerators.gpu_execution_accelerator
        return str(accelerator.parameters["trt_engine_cache_prefix"])

    before = prefix()
    assert prefix() == before
    write_model(sources[0].onnx, tiny_model(seed=1))
    assert prefix() != before


def test_cpus_are_told_nothing_of_it(sources: list[Source], tmp_path: Path) -> None:
    for found in configs(sources, tmp_path / "models", Options()).values():
        assert not found.model_warmup
        assert not found.HasField("optimization")
        assert found.instance_group[0].count == 1


def test_tensorrt_without_gpus_is_refused(sources: list[Source], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TensorRT"):
        Options(tensorrt=True)
    spec = classifier_spec(read_classifier("tiny", sources[0].onnx), Options())
    with pytest.raises(ConfigError, match="GPUs"):
        replace(spec, accelerators=(Accelerator("tensorrt", {}),))


@pytest.mark.parametrize(("setting", "tensorrt"), [("true", True), ("false", False), ("", False)])
def test_command_takes_tensorrt_from_the_environment(
    sources: list[Source], tmp_path: Path, setting: str, tensorrt: bool
) -> None:
    arguments = ["build", str(tmp_path / "models"), "--backend", "onnxruntime"]
    arguments += ["--onnx", f"tiny={sources[0].onnx}"]
    result = CliRunner().invoke(main, arguments, env={"PIXELPROBE_TENSORRT": setting})

    assert result.exit_code == 0, result.output
    assert ('name: "tensorrt"' in (tmp_path / "models/tiny/config.pbtxt").read_text()) is tensorrt


def test_command_refuses_tensorrt_on_the_cpu_in_one_line(sources: list[Source], tmp_path: Path) -> None:
    arguments = ["build", str(tmp_path / "models"), "--onnx", f"tiny={sources[0].onnx}", "--tensorrt"]
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "Error: TensorRT runs on GPUs alone: it needs the onnxruntime backend"
    ]


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample("s", 65, {"image": (HEIGHT, WIDTH, 3)}), "65 at once"),
        (Sample("s", 0, {"image": (HEIGHT, WIDTH, 3)}), "0 at once"),
        (Sample("s", 1, {}), "each input"),
        (Sample("s", 1, {"image": (HEIGHT, WIDTH, 3), "more": (1,)}), "no other"),
        (Sample("s", 1, {"image": (HEIGHT, WIDTH, 4)}), "does not fit input image"),
        (Sample("s", 1, {"image": (HEIGHT, WIDTH)}), "does not fit input image"),
    ],
)
def test_a_warm_up_that_triton_would_refuse_is_refused_here(
    sources: list[Source], sample: Sample, message: str
) -> None:
    spec = classifier_spec(read_classifier("tiny", sources[0].onnx), GPUS)
    with pytest.raises(ConfigError, match=message):
        replace(spec, warm_up=(sample,))


def test_free_dimensions_of_a_warm_up_must_be_filled_in(sources: list[Source]) -> None:
    spec = edits_spec(read_classifier("tiny", sources[0].onnx), GPUS)
    with pytest.raises(ConfigError, match="does not fit"):
        replace(spec, warm_up=(replace(spec.warm_up[0], dims={t.name: t.dims for t in spec.inputs}),))


def test_the_shipped_kinds_of_model_are_all_covered(sources: list[Source]) -> None:
    kinds = {type(read_model(source.name, source.onnx)).__name__ for source in sources}

    assert kinds == {"Classifier", "SaliencyModel"}
    assert "KIND_GPU" in to_text(classifier_spec(read_classifier("tiny", sources[0].onnx), GPUS))


def dims(sample: Any) -> dict[str, list[int]]:
    return {name: list(given.dims) for name, given in sample.inputs.items()}
