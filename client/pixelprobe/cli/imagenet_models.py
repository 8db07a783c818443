"""The two models of the ImageNet demo, which do not ship: built where they are missing, and served or not.

The client imports nothing of ``deploy``: the model zoo runs as the program that it is, and says itself what
it lacks.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

import click

from pixelprobe.api import PixelprobeClient
from pixelprobe.inputs.planned import TargetNotAvailableError
from pixelprobe.masks import Segmenter
from pixelprobe.rpc import UnreachableError

CLASSIFIER = "efficientnet_lite0_imagenet"
SEGMENTER = "u2net"
BUILD_SECONDS = 900.0
"""Of one model; the export takes a minute, a slow download of U2-Net-P three."""

_BUILDS = {CLASSIFIER: ("imagenet", CLASSIFIER), SEGMENTER: (SEGMENTER,)}


def build_missing() -> None:
    """Put into the zoo folder of the local stack what is not there yet.

    Raises:
        click.exceptions.Exit: a model cannot be built, and the model zoo has said why.
        click.ClickException: it took longer than BUILD_SECONDS.
    """
    for name, arguments in _BUILDS.items():
        command = [sys.executable, "-m", "pixelprobe_deploy.modelzoo", *arguments, "--missing"]
        try:
            done = subprocess.run(command, stdout=sys.stderr, check=False, timeout=BUILD_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise click.ClickException(f"building {name} took longer than {BUILD_SECONDS:.0f} s") from error
        if done.returncode:
            raise click.exceptions.Exit(done.returncode)


def check_served(client: PixelprobeClient, *, ask_segmentation: bool = True) -> None:
    """See that both models can be asked.

    A segmentation service that this client cannot reach may still be the orchestrator's.

    Args:
        client: of both services.
        ask_segmentation: its address is known; else the segmentation service is not asked.

    Raises:
        TargetNotAvailableError: one cannot; the message says what to run.
    """
    targets = {target.name: target.unavailable_reason for target in client.list_targets()}
    missing = {CLASSIFIER: targets.get(CLASSIFIER, "no such target")}
    segmenters: list[Segmenter] = []
    if ask_segmentation:
        with contextlib.suppress(UnreachableError):
            segmenters = client.list_segmenters()
    missing |= {each.id: each.unavailable_reason for each in segmenters if each.id == SEGMENTER}
    for name, reason in missing.items():
        if reason:
            build = " ".join(("python -m pixelprobe_deploy.modelzoo", *_BUILDS[name], "--missing"))
            raise TargetNotAvailableError(
                f"{name} is not served ({reason}): run `{build}`, then `pixelprobe up`, then this again"
            )
