"""The venv that Triton's processes live in: made once, from the pinned requirements beside this file.

It is apart from the project's own because Triton's Python backend needs numpy < 2.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
SUPPORTED_PYTHONS = ("3.11", "3.12")
"""Those with a wheel of numpy < 2 and a stub in the tritonserver wheel, of those the project supports."""
STAMP = "pixelprobe-requirements.json"
VENV_VARIABLE = "PIXELPROBE_TRITON_VENV"
INSTALL_SECONDS = 1200.0
_TAIL = 8192

_PROBE = """
import importlib.metadata as metadata, json, sys, sysconfig
from pathlib import Path
variable = sysconfig.get_config_var
folders = [variable("LIBDIR"), Path(variable("LIBDIR") or "", variable("MULTIARCH") or ""), variable("LIBPL")]
name = f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so.1.0"
found = [str(folder) for folder in folders if folder and Path(folder, name).is_file()]
versions = {}
for package in ("nvidia-pytriton", "onnxruntime", "numpy"):
    try:
        versions[package] = metadata.version(package)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps({
    "version": f"{sys.version_info[0]}.{sys.version_info[1]}",
    "full_version": sys.version.split()[0],
    "libpython_name": name,
    "libpython_folder": found[0] if found else "",
    "site_packages": sysconfig.get_path("purelib"),
    "packages": versions,
}))
"""


class RuntimeSetupError(Exception):
    """The server cannot run here; the message says in one line why and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """What must be known of a Python to run Triton's backend with it.

    ``version`` like "3.11"; ``libpython_folder`` is empty where this Python has no shared library;
    ``packages``: versions of those that matter, where installed.
    """

    version: str
    full_version: str
    libpython_name: str
    libpython_folder: str
    site_packages: str
    packages: dict[str, str]


def probe(python: Path) -> Interpreter:
    """Ask an interpreter about itself.

    Raises:
        RuntimeSetupError: it does not run.
    """
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _PROBE], capture_output=True, check=True, timeout=60, text=True
        )
        return Interpreter(**json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError) as error:
        raise RuntimeSetupError(f"the Python {python} does not run: {error}") from error


def check_platform(interpreter: Interpreter, system: str = sys.platform, machine: str = "") -> None:
    """See that Triton's wheel and its Python backend can run here at all.

    Raises:
        RuntimeSetupError: they cannot.
    """
    machine = machine or platform.machine()
    if system != "linux" or machine != "x86_64":
        raise RuntimeSetupError(
            f"the local Triton runs on Linux on x86-64 only, and this is {system} on {machine}: "
            "serve the models elsewhere and name that address in a targets file"
        )
    if interpreter.version not in SUPPORTED_PYTHONS:
        raise RuntimeSetupError(
            f"the local Triton needs Python {' or '.join(SUPPORTED_PYTHONS)}, and this is "
            f"{interpreter.full_version}: install pixelprobe with one of those"
        )
    if not interpreter.libpython_folder:
        raise RuntimeSetupError(
            f"this Python {interpreter.full_version} has no shared library {interpreter.libpython_name}, which "
            f"Triton's Python backend needs: install it (Debian, Ubuntu: apt install "
            f"libpython{interpreter.version}; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install), "
            "or use a Python that has it"
        )


def ensure_venv(
    home: Path,
    *,
    tell: Callable[[str], None] = lambda line: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> Path:
    """The venv to run Triton in, made under ``home`` when it is missing or its requirements have changed.

    PIXELPROBE_TRITON_VENV names one to use as it is instead.

    Args:
        tell: is given a line when an installation starts.
        checkpoint: called several times a second while waiting. What it raises ends the installation, of
            which nothing is left.

    Raises:
        RuntimeSetupError: this platform or Python will not do, or the installation failed.
    """
    given = os.environ.get(VENV_VARIABLE)
    if given:
        return Path(given)
    interpreter = probe(Path(sys.executable))
    check_platform(interpreter)
    venv = home / "triton-venv"
    if _is_current(venv, interpreter):
        return venv
    tell(f"Installing the Triton runtime into {venv} (once; takes about a minute) ...")
    home.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".triton-venv-", dir=home))
    try:
        _install(scratch, checkpoint)
        (scratch / STAMP).write_text(json.dumps(_stamp(interpreter)), encoding="utf-8")
        shutil.rmtree(venv, ignore_errors=True)
        scratch.rename(venv)
    except OSError as error:
        raise RuntimeSetupError(f"cannot make {venv}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return venv


def _is_current(venv: Path, interpreter: Interpreter) -> bool:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        return bool(stamp == _stamp(interpreter)) and probe(venv / "bin" / "python3") is not None
    except (OSError, ValueError, RuntimeSetupError):
        return False


def _stamp(interpreter: Interpreter) -> dict[str, str]:
    """What the venv was made from."""
    return {
        "requirements_sha256": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(),
        "python": interpreter.full_version,
    }


def _install(folder: Path, checkpoint: Callable[[], None]) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], "python -m venv", folder, checkpoint)
    pip = [str(folder / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    arguments = ["install", "--quiet", "--no-deps", "--no-compile", "--requirement", str(REQUIREMENTS)]
    _run([*pip, *arguments], "pip install", folder, checkpoint)


def _run(command: list[str], what: str, folder: Path, checkpoint: Callable[[], None]) -> None:
    """Run to the end, calling ``checkpoint`` meanwhile; the process never outlives this call."""
    log = folder / "install.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is for us to handle
        )
        give_up = time.monotonic() + INSTALL_SECONDS
        try:
            while process.poll() is None:
                checkpoint()
                if time.monotonic() > give_up:
                    raise RuntimeSetupError(f"{what} did not end within {INSTALL_SECONDS:.0f} s")
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
    if process.returncode:
        raise RuntimeSetupError(f"{what} for the Triton runtime failed: {_telling(log)}")


def _telling(log: Path) -> str:
    """The line that says why: pip's last error, or the last line."""
    lines = [line.strip() for line in log.read_bytes()[-_TAIL:].decode(errors="replace").splitlines()]
    lines = [line for line in lines if line] or ["no output"]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])
