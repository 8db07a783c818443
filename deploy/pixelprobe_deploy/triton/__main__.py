"""``python -m pixelprobe_deploy.triton build``: write a model repository, for servers started by other means,
and the targets file of the orchestrator that attacks what they serve.
"""

from __future__ import annotations

from pathlib import Path

import click

from pixelprobe_deploy.modelzoo.catalogue import WeightsError
from pixelprobe_deploy.triton.config import Backend, ConfigError
from pixelprobe_deploy.triton.contract import ContractError
from pixelprobe_deploy.triton.repository import (
    MAX_BATCH_SIZE,
    Options,
    RepositoryError,
    Source,
    build_repository,
    own_models,
)
from pixelprobe_deploy.triton.served import Served, find_served
from pixelprobe_deploy.triton.targets_file import targets_toml


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
    "Default: the classifiers that ship, and those of --zoo.",
)
@click.option(
    "--zoo",
    "zoos",
    multiple=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder of models that `python -m pixelprobe_deploy.modelzoo` built; may be repeated, a later "
    "one's models taking the place of an earlier one's.",
)
@click.option(
    "--targets",
    nargs=2,
    metavar="FILE HOST:PORT",
    help="Write an orchestrator's targets file as well: the classifiers, with their labels, at that address.",
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
    output: Path,
    files: tuple[str, ...],
    zoos: tuple[Path, ...],
    targets: tuple[str, str] | None,
    backend: str,
    threads: int,
    max_batch_size: int,
    tensorrt: bool,
) -> None:
    """Make OUTPUT a model repository: NAME and NAME_edits for each classifier, NAME for a saliency model."""
    if files and (zoos or targets):
        raise click.UsageError("--onnx goes with neither --zoo nor --targets: a file alone has no labels")
    try:
        served = Served((), ()) if files else find_served(*zoos)
        served.verify()
        sources = [_source(text) for text in files] or served.sources()
        options = Options(Backend(backend), threads, max_batch_size, tensorrt)
        written = build_repository(sources, output, options)
        if targets:
            _write(Path(targets[0]), targets_toml(served.classifiers, targets[1]))
    except (ConfigError, ContractError, RepositoryError, WeightsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output}: {len(own_models(output))} models, {len(written)} written")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from error


def _source(text: str) -> Source:
    name, separator, path = text.partition("=")
    if not separator:
        raise click.BadParameter(f"{text!r} is not NAME=FILE", param_hint="--onnx")
    return Source(name, Path(path))


if __name__ == "__main__":
    main(prog_name="python -m pixelprobe_deploy.triton")
