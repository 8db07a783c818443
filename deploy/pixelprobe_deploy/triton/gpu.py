"""How models run on GPUs: two instances on each, warmed up before Triton says that it is ready, and with
TensorRT where the operator asks for it.

TensorRT's engines are FP32 here, but they are other arithmetic than ONNX Runtime's own kernels: the same
image scores the same to about single precision, not to the last bit. Nor do whole images and sparse
queries then agree bit for bit, nor two engines that were built on different GPUs.
"""

from __future__ import annotations

from pixelprobe_deploy.triton.config import Accelerator, ModelSpec, Sample

INSTANCES = 2
"""Of each model on each GPU: one computes while the other's tensors are on their way."""

ENGINES = "/var/cache/tensorrt"
"""Where Triton's container keeps TensorRT's engines, which take minutes to build; a volume comes there."""

WORKSPACE_BYTES = 2**30
"""GPU memory that TensorRT may use for a while within one layer; the backend's own default."""


def tensorrt(model: str, weights_sha256: str) -> Accelerator:
    """TensorRT for ``model``, its engines kept apart from those of any other weights.

    ONNX Runtime names engines by a graph's structure and not by its weights, so that a model that was trained
    again
    would run on the engines of the old one: the prefix names the weights. The folder is the same for
    all, since the backend makes missing folders without minding that the other instance does so as well.
    """
    return Accelerator(
        "tensorrt",
        {
            "precision_mode": "FP32",
            "max_workspace_size_bytes": str(WORKSPACE_BYTES),
            "trt_engine_cache_enable": "true",
            "trt_engine_cache_path": ENGINES,
            "trt_engine_cache_prefix": f"{model}_{weights_sha256[:16]}",
            # One at a time: building takes far more GPU memory than running.
            "trt_force_sequential_engine_build": "true",
        },
    )


def warm_up(spec: ModelSpec, most: int) -> tuple[Sample, ...]:
    """A request with one query and one with ``most``, as far as ``spec`` takes so many.

    The first builds kernels and finds memory. TensorRT's engines serve the sizes between the smallest and the
    largest that they have met, and are built again for any other, so that these two are all it takes.
    All data is zero: image 0, the pixel at (0, 0), class 0, of which every model has one.
    """
    sizes = sorted({1, min(most, spec.max_batch_size or most)})
    return tuple(_sample(spec, size) for size in sizes)


def _sample(spec: ModelSpec, size: int) -> Sample:
    if spec.max_batch_size:
        return Sample(f"{size} at once", size, {tensor.name: tensor.dims for tensor in spec.inputs})
    dims = {}
    for tensor in spec.inputs:
        first = 1 if tensor.name == "images" else size  # one image, and ``size`` queries about it
        dims[tensor.name] = (first, *(1 if dim == -1 else dim for dim in tensor.dims[1:]))
    return Sample(f"{size} at once", 1, dims)
