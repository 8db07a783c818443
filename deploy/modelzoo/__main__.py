r"""Make the CIFAR-10 classifiers that ship with the project, and measure them as served.

\b
  train     data set -> checkpoint         needs the `models` extra (torch)
  export    checkpoint -> ONNX and card    needs the `models` extra (torch)
  evaluate  served model -> accuracy       needs tritonclient and pyarrow, no torch

Attacking and serving need none of this: the weights are in the repository.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deploy.modelzoo.card import read_card, save_card, with_accuracy
from deploy.modelzoo.catalogue import WEIGHTS, shipped_model
from deploy.modelzoo.datasets import load_cifar10
from deploy.modelzoo.errors import ModelZooError
from deploy.modelzoo.recipe import RECIPES

ARCHITECTURE = click.Choice(sorted(RECIPES))
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
DATA_HELP = "CIFAR-10: the hub's parquet files, or the folder of torchvision's CIFAR10."
# The extra that brings a package; all others come with `models`.
EXTRAS = {"tritonclient": "server", "grpc": "server"}


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
    help="Where checkpoints go; a run that finds its own there goes on from it.",
)
def train(architecture: str, folder: Path, checkpoints: Path) -> None:
    """Train ARCHITECTURE by its recipe. Killed, it goes on from its last checkpoint when run again."""
    with _one_line_errors():
        from deploy.modelzoo import train as training

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
        from deploy.modelzoo import export as exporting

        data = load_cifar10(folder, "train") if folder else None
        card = exporting.export(architecture, checkpoint, out, data)
    click.echo(f"{out / card.file}: {card.size_bytes / 1e6:.1f} MB, sha256 {card.sha256}")
    if card.provisional:
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
        from deploy.modelzoo.evaluate import ServedModel
        from deploy.modelzoo.evaluate import evaluate as measure

        model = shipped_model(name, weights)
        model.verify()
        data = load_cifar10(folder, "test")
        with _progress_bar("pictures") as bar, ServedModel(name, address, timeout_seconds=timeout) as served:
            task = bar.add_task(name, total=len(data.images))
            accuracy = measure(served, model, data, lambda done: bar.update(task, completed=done))
        if write_card:
            save_card(with_accuracy(read_card(name, weights), accuracy), weights)
    click.echo(
        f"{name}: test accuracy {accuracy.rate:.2%} "
        f"({accuracy.correct} of {accuracy.images}, served at {address})"
    )


def _progress_bar(unit: str) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


@contextlib.contextmanager
def _one_line_errors() -> Iterator[None]:
    """Show what a person can mend as one line, exit code 1; anything else stays a traceback."""
    try:
        yield
    except (ModelZooError, OSError) as error:
        raise click.ClickException(" ".join(str(error).split())) from error
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"deploy", ""}:
            raise
        extra = EXTRAS.get(package, "models")
        raise click.ClickException(
            f"{package} is not installed: install the `{extra}` extra (pip install 'pixelprobe[{extra}]')"
        ) from error


if __name__ == "__main__":
    main(prog_name="python -m deploy.modelzoo")
