"""The virtual environment of Triton's processes, made once from the locked requirements beside this file.

It is separate from the project's own because Triton's Python backend needs numpy < 2. Every file that is
installed has a SHA-256 in ``requirements.lock``, which deploy/lock.py writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pixelprobe_deploy.triton.interpreter import Interpreter, RuntimeSetupError, check_platform, probe
from pixelprobe_deploy.triton.logs import last_error_line

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
LOCK = Path(__file__).with_name("requirements.lock")
STAMP = "pixelprobe-requirements.json"
SCRATCH_PREFIX = ".triton-venv-"
"""Names of folders that a killed installation leaves behind begin with this."""
VENV_VARIABLE = "PIXELPROBE_TRITON_VENV"
INSTALL_SECONDS = 1200.0


def ensure_venv(home: Path, report: Callable[[str], None], checkpoint: Callable[[], None]) -> Path:
    """Return the venv to run Triton in, made under ``home`` if it is missing or its requirements have
    changed.

    PIXELPROBE_TRITON_VENV names one to use as it is instead.

    Args:
        home: the state folder.
        report: receives a line when an installation starts.
        checkpoint: called several times a second while waiting. What it raises ends the installation, which
            leaves nothing but its log.

    Raises:
        RuntimeSetupError: this platform or Python is not supported, or the installation failed.
    """
    given = os.environ.get(VENV_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    interpreter = probe(Path(sys.executable))
    check_platform(interpreter)
    venv = home / "triton-venv"
    if _is_current(venv, interpreter):
        return venv
    report(f"Installing the Triton runtime into {venv} (once; takes about a minute) ...")
    log = home / "logs" / "triton-install.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=home))
        try:
            _install(scratch, log, checkpoint)
            (scratch / STAMP).write_text(json.dumps(_stamp(interpreter)), encoding="utf-8")
            shutil.rmtree(venv, ignore_errors=True)
            scratch.rename(venv)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise RuntimeSetupError(f"cannot make {venv}: {error}") from error
    return venv


def _is_current(venv: Path, interpreter: Interpreter) -> bool:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
        return bool(stamp == _stamp(interpreter)) and probe(venv / "bin" / "python3") is not None
    except (OSError, ValueError, RuntimeSetupError):
        return False


def _stamp(interpreter: Interpreter) -> dict[str, str]:
    """Return what the venv was made from."""
    return {
        "requirements_sha256": hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(),
        "python": interpreter.full_version,
    }


def _install(folder: Path, log: Path, checkpoint: Callable[[], None]) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], "python -m venv", log, checkpoint)
    pip = [str(folder / "bin" / "python3"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    arguments = ["install", "--no-deps", "--no-compile", "--require-hashes", "--requirement", str(LOCK)]
    _run([*pip, *arguments], "pip install", log, checkpoint)


def _run(command: list[str], what: str, log: Path, checkpoint: Callable[[], None]) -> None:
    """Run a command to its end, calling ``checkpoint`` meanwhile; the process never outlives this call."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is handled by this process
        )
        give_up = time.monotonic() + INSTALL_SECONDS
        try:
            while process.poll() is None:
                checkpoint()
                if time.monotonic() > give_up:
                    raise RuntimeSetupError(f"{what} did not end within {INSTALL_SECONDS:.0f} s; see {log}")
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode:
        raise RuntimeSetupError(f"{what} for the Triton runtime failed: {last_error_line(log)} (see {log})")
