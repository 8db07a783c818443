"""Published weights as files on this machine: found or downloaded, and always checked by their hash.

torchvision publishes no more of a file's SHA-256 than its first eight digits, which its name carries. A
file's name carries the first digits of its sha256, as in ``alexnet-owt-7be5be79.pth``.
"""

from __future__ import annotations

import hashlib
import http.client
import pickle
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pixelprobe_deploy.modelzoo.errors import ModelZooError
from pixelprobe_services.common.files import replacing

HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.pth$")
TIMEOUT_SECONDS = 30.0
CHUNK_BYTES = 1 << 20


class PretrainedError(ModelZooError):
    """Weights are missing, damaged or of another model; the message names the file and how to get it."""


def hash_prefix(name: str) -> str:
    """Return the first digits of the SHA-256 that the file called ``name`` must have."""
    found = HASH_IN_NAME.search(name)
    if not found:
        raise PretrainedError(f"{name} carries no hash in its name")
    return found.group(1)


def weights_file(url: str, folder: Path | None, report: Callable[[str], None]) -> Path:
    """Return the file that ``url`` names: in ``folder`` if given, else in torch's own, downloaded if it is
    missing.

    Args:
        url: where it is published; its last part is the file's name.
        folder: where it must be; nothing is downloaded then.
        report: receives a line before a download.

    Raises:
        PretrainedError: it is not there and cannot be downloaded, or has another hash.
    """
    name = url.rpartition("/")[2]
    path = (folder or Path(torch.hub.get_dir(), "checkpoints")) / name
    if not path.exists():
        if folder is not None:
            raise PretrainedError(f"{path} is missing; {_remedy(url, folder)}")
        report(f"Downloading {name} to {path.parent} ...")
        try:
            _download(url, path)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise PretrainedError(
                f"{name} is missing and cannot be downloaded ({reason}); {_remedy(url, path.parent)}"
            ) from error
    check(path, _remedy(url, path.parent))
    return path


def check(path: Path, remedy: str) -> None:
    """Check that ``path`` has the hash in its name.

    Raises:
        PretrainedError: it has not, or cannot be read.
    """
    expected = hash_prefix(path.name)
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PretrainedError(f"cannot read {path} ({error.strerror}); {remedy}") from error
    if not found.startswith(expected):
        raise PretrainedError(
            f"{path} is damaged or another file: its sha256 begins with {found[: len(expected)]} instead of "
            f"{expected}; delete it, then {remedy}"
        )


def read_weights(path: Path) -> dict[str, Any]:
    """Return the tensors in ``path`` by name.

    Raises:
        PretrainedError: it is no file of tensors.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise PretrainedError(f"{path} cannot be read as PyTorch weights") from error
    return state


def _remedy(url: str, folder: Path) -> str:
    name = url.rpartition("/")[2]
    return (
        f"on a machine with network download {url}, and put it (sha256 {hash_prefix(name)}...) into {folder} "
        "or into a folder given with --weights-dir"
    )


def _download(url: str, path: Path) -> None:
    """Download to a file beside ``path``, check it, then rename it: no partial file has the final name."""
    expected, digest = hash_prefix(path.name), hashlib.sha256()
    with replacing(path) as file:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310  (torchvision's own https address)
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                file.write(chunk)
        if not digest.hexdigest().startswith(expected):
            raise OSError(f"what came has sha256 {digest.hexdigest()[: len(expected)]}..., not {expected}...")
