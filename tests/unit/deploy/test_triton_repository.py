from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pixelprobe_deploy.triton.__main__ import main
from pixelprobe_deploy.triton.config import Backend, ConfigError
from pixelprobe_deploy.triton.contract import ContractError
from pixelprobe_deploy.triton.repository import Options, RepositoryError, Source, build_repository, own_models
from tests.unit.deploy.tiny import HEIGHT, WIDTH, tiny_model, tiny_saliency_model, write_model

FILES = ["1/model.onnx", "1/model.py", "config.pbtxt"]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source("tiny", write_model(tmp_path / "tiny.onnx", tiny_model()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def config(folder: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def test_each_classifier_becomes_two_models(source: Source, folder: Path) -> None:
    assert build_repository([source], folder) == ["tiny", "tiny_edits"]

    assert sorted(contents(folder)) == [f"{name}/{file}" for name in ("tiny", "tiny_edits") for file in FILES]
    whole, edits = config(folder / "tiny"), config(folder / "tiny_edits")
    assert (whole.max_batch_size, edits.max_batch_size) == (400, 0)
    assert {tensor.name: list(tensor.dims) for tensor in whole.input} == {"image": [HEIGHT, WIDTH, 3]}
    assert {tensor.name: list(tensor.dims) for tensor in edits.input} == {
        "images": [-1, HEIGHT, WIDTH, 3],
        "image_index": [-1],
        "edits": [-1, -1, 5],
        "classes": [-1, -1],
    }
    assert {tensor.name: list(tensor.dims) for tensor in edits.output} == {
        "probabilities": [-1, 7],
        "class_probabilities": [-1, -1],
        "top_classes": [-1, 5],
        "top_probabilities": [-1, 5],
    }
    assert (folder / "tiny/1/model.onnx").read_bytes() == source.onnx.read_bytes()


def test_a_saliency_model_is_served_alone(source: Source, folder: Path, tmp_path: Path) -> None:
    saliency = Source("salient", write_model(tmp_path / "salient.onnx", tiny_saliency_model()))

    assert build_repository([source, saliency], folder) == ["tiny", "tiny_edits", "salient"]
    assert own_models(folder) == ["salient", "tiny", "tiny_edits"]
    found = config(folder / "salient")
    assert {tensor.name: list(tensor.dims) for tensor in found.input} == {"image": [HEIGHT, WIDTH, 3]}
    assert {tensor.name: list(tensor.dims) for tensor in found.output} == {"saliency": [HEIGHT, WIDTH]}
    assert found.max_batch_size == 16
    assert (folder / "salient/1/model.onnx").read_bytes() == saliency.onnx.read_bytes()


def test_a_saliency_of_another_size_than_the_image_is_refused(folder: Path, tmp_path: Path) -> None:
    model = tiny_saliency_model()
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = WIDTH + 1
    source = Source("salient", write_model(tmp_path / "salient.onnx", model))

    with pytest.raises(ContractError, match=r"salient\.onnx: shapes must be .*saliency \(N, height, width\)"):
        build_repository([source], folder)


def test_nothing_is_left_beside_the_repository(source: Source, folder: Path) -> None:
    build_repository([source], folder)

    assert [path.name for path in folder.parent.iterdir()] == ["models"]


def test_what_is_right_is_left_alone(source: Source, folder: Path) -> None:
    build_repository([source], folder)
    before = {path: path.stat().st_ino for path in folder.rglob("*")}

    assert build_repository([source], folder) == []
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before


def _change_byte(folder: Path) -> None:
    path = folder / "tiny/1/model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _cut_short(folder: Path) -> None:
    (folder / "tiny/config.pbtxt").write_text("name")


def _remove_file(folder: Path) -> None:
    (folder / "tiny/1/model.py").unlink()


def _add_newer_version(folder: Path) -> None:
    (folder / "tiny/2").mkdir()
    (folder / "tiny/2/model.onnx").write_bytes(b"")


@pytest.mark.parametrize("spoil", [_change_byte, _cut_short, _remove_file, _add_newer_version])
def test_a_spoilt_model_is_made_again(source: Source, folder: Path, spoil: Callable[[Path], None]) -> None:
    build_repository([source], folder)
    right = contents(folder)
    spoil(folder)

    assert build_repository([source], folder) == ["tiny"]
    assert contents(folder) == right


def test_new_weights_replace_both_models(source: Source, folder: Path) -> None:
    build_repository([source], folder)
    write_model(source.onnx, tiny_model(seed=1))

    assert build_repository([source], folder) == ["tiny", "tiny_edits"]
    assert (folder / "tiny/1/model.onnx").read_bytes() == source.onnx.read_bytes()


def test_models_no_longer_wanted_go_and_those_of_others_stay(source: Source, folder: Path) -> None:
    build_repository([source], folder)
    (folder / "theirs").mkdir()
    (folder / "theirs/config.pbtxt").write_text('name: "theirs"')

    build_repository([Source("renamed", source.onnx)], folder)

    assert sorted(path.name for path in folder.iterdir()) == ["renamed", "renamed_edits", "theirs"]


def test_gpu_repository_needs_no_python(source: Source, folder: Path) -> None:
    build_repository([source], folder, Options(Backend.ONNXRUNTIME, max_batch_size=64))

    assert not list(folder.rglob("*.py"))
    for name, max_batch_size in (("tiny", 64), ("tiny_edits", 0)):
        found = config(folder / name)
        assert (found.backend, found.max_batch_size) == ("onnxruntime", max_batch_size)
        assert found.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU
        assert found.parameters.keys() == {"weights_sha256"}, "nothing for the Python backend"


def test_python_backend_is_told_its_threads(source: Source, folder: Path) -> None:
    build_repository([source], folder, Options(threads=3))

    assert config(folder / "tiny_edits").parameters["intra_op_threads"].string_value == "3"


def test_two_models_of_one_name_are_refused(source: Source, folder: Path) -> None:
    with pytest.raises(ConfigError, match="tiny_edits"):
        build_repository([source, Source("tiny_edits", source.onnx)], folder)


def test_a_broken_file_leaves_what_was_there(source: Source, folder: Path) -> None:
    build_repository([source], folder)
    right = contents(folder)
    source.onnx.write_bytes(b"\x00\x01")

    with pytest.raises(ContractError, match=r"tiny\.onnx"):
        build_repository([source], folder)
    assert contents(folder) == right


def test_a_folder_that_cannot_be_written_is_named(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RepositoryError, match="file/models"):
        build_repository([source], tmp_path / "file" / "models")


def test_command_builds_from_files_of_ones_own(source: Source, folder: Path) -> None:
    arguments = ["build", str(folder), "--onnx", f"mine={source.onnx}", "--backend", "onnxruntime"]
    result = CliRunner().invoke(main, arguments)

    assert (result.exit_code, result.output) == (0, f"{folder}: 2 models, 2 written\n")
    assert config(folder / "mine").backend == "onnxruntime"


@pytest.mark.parametrize(("argument", "code"), [("no-equals-sign", 2), ("mine=/nowhere.onnx", 1)])
def test_command_explains_bad_input_in_one_line(folder: Path, argument: str, code: int) -> None:
    result = CliRunner().invoke(main, ["build", str(folder), "--onnx", argument])

    assert result.exit_code == code
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert not folder.exists() or not list(folder.iterdir())


def test_command_counts_the_models_served(source: Source, folder: Path, tmp_path: Path) -> None:
    saliency = write_model(tmp_path / "salient.onnx", tiny_saliency_model())
    arguments = ["build", str(folder), "--onnx", f"mine={source.onnx}", "--onnx", f"salient={saliency}"]

    assert CliRunner().invoke(main, arguments).output == f"{folder}: 3 models, 3 written\n"
