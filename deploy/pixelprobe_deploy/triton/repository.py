"""From ONNX files to a Triton model repository: ``NAME`` and ``NAME_edits`` for each classifier, and
``NAME`` alone for each saliency model, which takes no edits.

A model folder is made elsewhere and moved into place as a whole, so that a server never sees half of one.
Folders that already hold exactly the right bytes are left alone.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pixelprobe_deploy.triton.config import HEADER, Backend, ConfigError, DataType, ModelSpec, Tensor, to_text
from pixelprobe_deploy.triton.contract import (
    CHANNELS,
    IMAGE,
    PROBABILITIES,
    SALIENCY,
    Classifier,
    SaliencyModel,
    read_model,
)
from pixelprobe_deploy.triton.edits_graph import edits_graph, top_count
from pixelprobe_deploy.triton.gpu import INSTANCES, tensorrt, warm_up

EDITS_SUFFIX = "_edits"
SCRATCH_PREFIX = ".models-"
"""Names of folders that a killed build leaves beside the repository begin with this."""
MAX_BATCH_SIZE = 400
"""For whole images: one generation of the default search."""
PIXELS_AT_A_TIME, LEAST_AT_A_TIME = 100 * 32 * 32, 8
"""The most that the Python backend runs at once, in input pixels and in images. Measured at 32x32: runs of 25
to
400 images take the same time an image, runs of 400 up to 1.4 GB a model, runs of 100 at most 0.4 GB."""
SALIENCY_BATCH_SIZE, SALIENCY_AT_A_TIME = 16, 1
"""For saliency models, which keep the full resolution in dozens of layers."""

Files = Mapping[str, bytes]
"""A model folder's contents: path inside the folder -> bytes."""


class RepositoryError(Exception):
    """The repository cannot be written."""


@dataclass(frozen=True)
class Source:
    """A model's name and its ONNX file."""

    name: str
    onnx: Path


@dataclass(frozen=True)
class Options:
    """How the models run. ``threads``: of each model on the CPU; 0: one for each CPU.

    ``tensorrt`` is for GPUs: faster, but other arithmetic (see gpu.py).
    """

    backend: Backend = Backend.PYTHON
    threads: int = 0
    max_batch_size: int = MAX_BATCH_SIZE
    tensorrt: bool = False

    def __post_init__(self) -> None:
        if self.tensorrt and self.backend is not Backend.ONNXRUNTIME:
            raise ConfigError("TensorRT runs on GPUs alone: it needs the onnxruntime backend")


def build_repository(sources: Sequence[Source], folder: Path, options: Options | None = None) -> list[str]:
    """Make ``folder`` hold the models of ``sources``, and of earlier builds nothing else.

    Models from other sources stay. Returns the names of the models that had to be written.

    Raises:
        ContractError: an ONNX file is unreadable or does not keep the input contract.
        ConfigError: a name that Triton would not take, or two models of one name.
        RepositoryError: the folder cannot be written.
    """
    options = options or Options()
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names: set[str] = set()
        for source in sources:
            for spec, content in _models(source, options):
                if spec.name in names:
                    raise ConfigError(f"two models are called {spec.name}")
                names.add(spec.name)
                files = _files(spec, content)
                if not _is_right(folder / spec.name, files):
                    _put_in_place(folder / spec.name, files)
                    written.append(spec.name)
        for name in own_models(folder):
            if name not in names:
                shutil.rmtree(folder / name)
    except OSError as error:
        raise RepositoryError(f"cannot write the model repository {folder}: {error}") from error
    return written


def _models(source: Source, options: Options) -> Iterator[tuple[ModelSpec, bytes]]:
    """The models to serve for one source, each with its ONNX file: two for a classifier."""
    model = read_model(source.name, source.onnx)
    if isinstance(model, SaliencyModel):
        yield saliency_spec(model, options), model.content
        return
    yield classifier_spec(model, options), model.content
    twin = edits_graph(model)
    yield edits_spec(model, options), twin.SerializeToString(deterministic=True)


def own_models(folder: Path) -> list[str]:
    """The names of the models in ``folder`` that this builder wrote."""
    return sorted(path.name for path in folder.iterdir() if _is_ours(path))


def classifier_spec(classifier: Classifier, options: Options) -> ModelSpec:
    """``NAME``: whole images, batched by Triton."""
    spec = ModelSpec(
        name=classifier.name,
        backend=options.backend,
        max_batch_size=options.max_batch_size,
        inputs=(Tensor(IMAGE, DataType.UINT8, (classifier.height, classifier.width, CHANNELS)),),
        outputs=(Tensor(PROBABILITIES, DataType.FP32, (classifier.classes,)),),
        parameters=_parameters(classifier.content, _at_a_time(classifier), options),
    )
    return _on_gpus(spec, classifier.content, options)


def saliency_spec(model: SaliencyModel, options: Options) -> ModelSpec:
    """``NAME``: whole images in, a value for each pixel out, batched by Triton."""
    spec = ModelSpec(
        name=model.name,
        backend=options.backend,
        max_batch_size=min(options.max_batch_size, SALIENCY_BATCH_SIZE),
        inputs=(Tensor(IMAGE, DataType.UINT8, (model.height, model.width, CHANNELS)),),
        outputs=(Tensor(SALIENCY, DataType.FP32, (model.height, model.width)),),
        parameters=_parameters(model.content, SALIENCY_AT_A_TIME, options),
    )
    return _on_gpus(spec, model.content, options)


def edits_spec(classifier: Classifier, options: Options) -> ModelSpec:
    """``NAME_edits``: sparse queries, any number in a request (see edits_graph.py)."""
    top = top_count(classifier)
    spec = ModelSpec(
        name=classifier.name + EDITS_SUFFIX,
        backend=options.backend,
        inputs=(
            Tensor("images", DataType.UINT8, (-1, classifier.height, classifier.width, CHANNELS)),
            Tensor("image_index", DataType.INT32, (-1,)),
            Tensor("edits", DataType.INT16, (-1, -1, 5)),
            Tensor("classes", DataType.INT32, (-1, -1)),
        ),
        outputs=(
            Tensor("probabilities", DataType.FP32, (-1, classifier.classes)),
            Tensor("class_probabilities", DataType.FP32, (-1, -1)),
            Tensor("top_classes", DataType.INT32, (-1, top)),
            Tensor("top_probabilities", DataType.FP32, (-1, top)),
        ),
        parameters=_parameters(classifier.content, _at_a_time(classifier), options),
    )
    return _on_gpus(spec, classifier.content, options)


def _on_gpus(spec: ModelSpec, content: bytes, options: Options) -> ModelSpec:
    """``spec`` with what GPUs ask for; as it is where the CPU runs it."""
    if options.backend is not Backend.ONNXRUNTIME:
        return spec
    return replace(
        spec,
        instances=INSTANCES,
        warm_up=warm_up(spec, options.max_batch_size),
        accelerators=(tensorrt(spec.name, _sha256(content)),) if options.tensorrt else (),
    )


def _at_a_time(classifier: Classifier) -> int:
    return max(LEAST_AT_A_TIME, PIXELS_AT_A_TIME // (classifier.width * classifier.height))


def _parameters(content: bytes, at_a_time: int, options: Options) -> dict[str, str]:
    hashed = {"weights_sha256": _sha256(content)}  # clients can ask for it
    if options.backend is not Backend.PYTHON:
        return hashed
    return {**hashed, "intra_op_threads": str(options.threads), "queries_at_a_time": str(at_a_time)}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _files(spec: ModelSpec, onnx_file: bytes) -> Files:
    files = {"config.pbtxt": to_text(spec).encode(), "1/model.onnx": onnx_file}
    if spec.backend is Backend.PYTHON:
        files["1/model.py"] = Path(__file__).with_name("backend_model.py").read_bytes()
    return files


def _is_right(folder: Path, files: Files) -> bool:
    """Whether ``folder`` holds these bytes and no other file (a folder ``2`` would be a newer version)."""
    found = {
        str(path.relative_to(folder)): path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return found.keys() == files.keys() and all(found[name].read_bytes() == files[name] for name in files)


def _put_in_place(folder: Path, files: Files) -> None:
    """Write ``files`` beside the repository, then move them to ``folder``, replacing what is there."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=folder.parent.parent) as scratch:
        new = Path(scratch, "new")
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if folder.exists():
            folder.rename(Path(scratch, "old"))
        new.rename(folder)


def _is_ours(folder: Path) -> bool:
    config = folder / "config.pbtxt"
    return config.is_file() and config.read_text(errors="replace").startswith(HEADER)
