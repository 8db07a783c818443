"""Checks that a Python interpreter can run Triton's Python backend."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SUPPORTED_PYTHONS = ("3.11", "3.12")
"""The project's Python versions that have a wheel of numpy < 2 and a stub in the tritonserver wheel."""

_PROBE_SECONDS = 60.0
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
    """The server cannot run here; the message is one line with the reason and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """Facts about a Python interpreter.

    Attributes:
        version: such as "3.11".
        full_version: such as "3.11.7".
        libpython_name: file name of its shared library.
        libpython_folder: where that is; empty if there is none.
        site_packages: folder of its packages.
        packages: versions of nvidia-pytriton, onnxruntime and numpy, where installed.
    """

    version: str
    full_version: str
    libpython_name: str
    libpython_folder: str
    site_packages: str
    packages: dict[str, str]


def probe(python: Path) -> Interpreter:
    """Read the facts about an interpreter by running it.

    Raises:
        RuntimeSetupError: it does not run.
    """
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _PROBE],
            capture_output=True,
            check=False,
            timeout=_PROBE_SECONDS,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is handled by this process
        )
    except OSError as error:
        raise RuntimeSetupError(f"the Python {python} does not run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeSetupError(f"the Python {python} does not answer") from error
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise RuntimeSetupError(f"the Python {python} does not run: {reason}")
    return Interpreter(**json.loads(answer.stdout))


def check_platform(interpreter: Interpreter, system: str = sys.platform, machine: str = "") -> None:
    """Check that Triton's wheel and its Python backend can run here.

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
            f"this Python {interpreter.full_version} has no shared library {interpreter.libpython_name}, "
            f"which Triton's Python backend needs: install it (Debian, Ubuntu: apt install "
            f"libpython{interpreter.version}; pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install), "
            "or use a Python that has it"
        )
