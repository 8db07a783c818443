"""Pin what the container images and Triton's environment install, with the SHA-256 of every file.

Run as ``python deploy/lock.py`` with the ``dev`` extra installed, after a change of a requirements file or of
deploy/constraints.txt, which gives the containers' versions. Installations use ``--require-hashes`` with what
this writes, so that a file which an index has exchanged is refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

DEPLOY = Path(__file__).resolve().parent
CONSTRAINTS = DEPLOY / "constraints.txt"
CONTAINERS = sorted((DEPLOY / "containers" / "requirements").glob("*.txt"))
TRITON = DEPLOY / "pixelprobe_deploy" / "triton" / "requirements.txt"
HEADER = "# Written by deploy/lock.py from {name}; changes are overwritten.\n"
_ENTRY = re.compile(r"^(?P<name>[\w.-]+)==.*(?:\n    --hash=.*)+\n", re.MULTILINE)


def lock_of(requirements: Path) -> Path:
    """The lock that belongs to a requirements file."""
    return requirements.with_suffix(".lock")


def named(requirements: Path) -> set[str]:
    """The packages that a requirements file names."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return {re.split(r"[\[=<>~! ]", line)[0].lower() for line in lines if line and not line.startswith("#")}


def entries(locked: str) -> dict[str, str]:
    """The entries of a lock, with their hashes, by package."""
    return {found["name"].lower(): found[0] for found in _ENTRY.finditer(locked)}


def resolve(requirements: Path, *options: str) -> str:
    """All packages that ``requirements`` needs, each with its version and hashes."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "lock")
        subprocess.run(
            [
                *(sys.executable, "-m", "piptools", "compile", "-q", "--generate-hashes", "--strip-extras"),
                *("--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"),
                *("--no-emit-trusted-host", "--allow-unsafe", *options, "-o", str(output), str(requirements)),
            ],
            check=True,
        )
        return output.read_text(encoding="utf-8")


def main() -> None:
    """Write every lock."""
    for requirements in CONTAINERS:
        text = "".join(entries(resolve(requirements, "-c", str(CONSTRAINTS))).values())
        lock_of(requirements).write_text(HEADER.format(name=requirements.name) + text, encoding="utf-8")
    # Of Triton's wheel only the server is used, so that what else it asks for is left out (--no-deps).
    found = entries(resolve(TRITON))
    text = "".join(found[name] for name in sorted(named(TRITON)))
    lock_of(TRITON).write_text(HEADER.format(name=TRITON.name) + text, encoding="utf-8")


if __name__ == "__main__":
    main()
