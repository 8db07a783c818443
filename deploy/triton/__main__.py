"""``python -m deploy.triton build``: write a model repository, for servers started by other means."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.modelzoo.catalogue import WeightsError, shipped_models
from deploy.triton.config import Backend, ConfigError
from deploy.triton.contract import ContractError
from deploy.triton.repository import (
    MAX_BATCH_SIZE,
    Options,
    RepositoryError,
    Source,
    build_repository,
    own_models,
)


@click.group()
def main() -> None:
    """Triton model repositories."""


@main.command()
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--onnx",
    "files",
    multiple=True,
    metavar="NAME=FILE",
    help="A classifier or saliency model under the input contract; may be repeated. "
    "Default: the classifiers that ship.",
)
@click.option(
    "--backend",
    type=click.Choice([backend.value for backend in Backend]),
    default=Backend.PYTHON.value,
    show_default=True,
    help="python: ONNX Runtime on the CPU, for the PyPI wheel's server. onnxruntime: GPUs, NVIDIA's image.",
)
@click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads of a model; 0: all CPUs.")
@click.option("--max-batch-size", type=click.IntRange(1), default=MAX_BATCH_SIZE, show_default=True)
@click.option(
    "--tensorrt/--no-tensorrt",
    envvar="PIXELPROBE_TENSORRT",
    show_envvar=True,
    default=False,
    help="Let TensorRT run the models on GPUs (--backend onnxruntime): faster, but scores are then no longer "
    "equal to the last bit from batch to batch.",
)
def build(
    output: Path, files: tuple[str, ...], backend: str, threads: int, max_batch_size: int, tensorrt: bool
) -> None:
    """Make OUTPUT a model repository: NAME and NAME_edits for each classifier, NAME for a saliency model."""
    try:
        sources = [_source(text) for text in files] or _shipped()
        options = Options(Backend(backend), threads, max_batch_size, tensorrt)
        written = build_repository(sources, output, options)
    except (ConfigError, ContractError, RepositoryError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {len(own_models(output))} models, {len(written)} written anew")


def _source(text: str) -> Source:
    name, separator, path = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not NAME=FILE", param_hint="--onnx")
    return Source(name, Path(path))


def _shipped() -> list[Source]:
    models = shipped_models()
    for model in models:
        model.verify()
    return [Source(model.name, model.path) for model in models]


if __name__ == "__main__":
    main(prog_name="python -m deploy.triton")
