"""Commands that make the shipped classifiers: ``python -m deploy.modelzoo train|export``.

They need the ``models`` extra (torch); attacking and serving do not.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deploy.modelzoo.datasets import DatasetNotFoundError, load_cifar10
from deploy.modelzoo.recipe import RECIPES


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("architecture", type=click.Choice(sorted(RECIPES)))
@click.option(
    "--data",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="CIFAR-10: the hub's parquet files, or the folder of torchvision's CIFAR10.",
)
@click.option(
    "--checkpoints",
    default=Path(".pixelprobe/checkpoints"),
    type=click.Path(file_okay=False, path_type=Path),
    show_default=True,
    help="Where checkpoints go; a run that finds its own there goes on from it.",
)
def train(architecture: str, folder: Path, checkpoints: Path) -> None:
    """Train ARCHITECTURE by its recipe; resumes after a kill."""
    from deploy.modelzoo import train as training

    try:
        data = load_cifar10(folder, "train")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns) as bar:
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
        test = load_cifar10(folder, "test")
    except (DatasetNotFoundError, training.CheckpointMismatchError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{architecture}: test accuracy {training.accuracy(network, test):.2%} (in the trainer)")


if __name__ == "__main__":
    main()
