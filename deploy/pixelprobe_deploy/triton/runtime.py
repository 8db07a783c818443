"""Triton without Docker: the tritonserver binary and Python backend of the PyPI wheel nvidia-pytriton.

The pytriton API is not used. Besides its arguments the binary needs a backend directory with the stub of the
right Python version, the wheel's libraries and libpython on the loader's path, and the venv's python3 first
on PATH, by which the stub finds its packages (it ignores PYTHONPATH).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_deploy.triton.interpreter import Interpreter, RuntimeSetupError, check_platform, probe

STOP_SECONDS = 5
"""How long requests in flight may take to finish when the server is stopped."""


@dataclass(frozen=True)
class TritonRuntime:
    """Paths needed to start the server. ``versions``: of tritonserver's wheel, onnxruntime and numpy."""

    tritonserver: Path
    backends: Path
    library_path: str
    executables: Path
    versions: Mapping[str, str]

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return ``base`` with the variables that the server needs."""
        environment = {
            name: value for name, value in base.items() if name not in ("PYTHONHOME", "PYTHONPATH")
        }
        environment["PATH"] = os.pathsep.join(filter(None, [str(self.executables), base.get("PATH")]))
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, [self.library_path, base.get("LD_LIBRARY_PATH")])
        )
        environment["ORT_DISABLE_TELEMETRY"] = "1"  # ONNX Runtime sends nothing about the models
        return environment


@dataclass(frozen=True)
class ServerSettings:
    """Where the server listens. ``shared_memory_prefix``: of its files in /dev/shm."""

    host: str
    http_port: int
    grpc_port: int
    metrics_port: int
    shared_memory_prefix: str


def prepare_runtime(venv: Path, folder: Path) -> TritonRuntime:
    """Return the server in ``venv``, with its backend directory made at ``folder``.

    Raises:
        RuntimeSetupError: something the server needs is missing.
    """
    interpreter = probe(venv / "bin" / "python3")
    check_platform(interpreter)
    numpy = interpreter.packages.get("numpy", "")
    if not {"nvidia-pytriton", "onnxruntime"} <= interpreter.packages.keys() or not numpy.startswith("1."):
        raise RuntimeSetupError(
            f"{venv} holds {interpreter.packages or 'no packages'} instead of nvidia-pytriton, onnxruntime "
            "and numpy < 2: delete it, or unset PIXELPROBE_TRITON_VENV, and a right one is made"
        )
    packages = Path(interpreter.site_packages)
    wheel = packages / "pytriton" / "tritonserver"
    _make_backends(wheel, interpreter, folder)
    return TritonRuntime(
        tritonserver=wheel / "bin" / "tritonserver",
        backends=folder,
        library_path=os.pathsep.join([str(packages / "nvidia_pytriton.libs"), interpreter.libpython_folder]),
        executables=venv / "bin",
        versions=interpreter.packages,
    )


def server_command(runtime: TritonRuntime, repository: Path, settings: ServerSettings) -> list[str]:
    """Return the command line. Every model of the repository is loaded, or the server ends with an error."""
    return [
        str(runtime.tritonserver),
        f"--model-repository={repository}",
        f"--backend-directory={runtime.backends}",
        f"--backend-config=python,shm-region-prefix-name={settings.shared_memory_prefix}",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={STOP_SECONDS}",
        f"--http-address={settings.host}",
        f"--http-port={settings.http_port}",
        f"--grpc-address={settings.host}",
        f"--grpc-port={settings.grpc_port}",
        f"--metrics-address={settings.host}",
        f"--metrics-port={settings.metrics_port}",
        "--allow-gpu-metrics=false",
    ]


def _make_backends(wheel: Path, interpreter: Interpreter, folder: Path) -> None:
    """Copy the Python backend and the stub of this Python, separate in the wheel, into one directory."""
    stub = wheel / "python_backend_stubs" / interpreter.version / "triton_python_backend_stub"
    python = wheel / "backends" / "python"
    files = (python / "libtriton_python.so", python / "triton_python_backend_utils.py", stub)
    target = folder / "python"
    try:
        if all(_same(file, target / file.name) for file in files):
            return
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".python-", dir=folder) as scratch:
            new = Path(scratch, "new")
            new.mkdir()
            for file in files:
                shutil.copy2(file, new / file.name)
            if target.exists():
                target.rename(Path(scratch, "old"))
            new.rename(target)
    except OSError as error:
        raise RuntimeSetupError(f"cannot prepare Triton's backends in {folder}: {error}") from error


def _same(source: Path, copy: Path) -> bool:
    return copy.is_file() and source.read_bytes() == copy.read_bytes()
