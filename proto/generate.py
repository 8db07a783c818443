"""Regenerate the committed stubs from the .proto files; ``--check`` fails when they differ.

The protobuf packages are called ``pixelprobe.*``, the Python package of their stubs ``pixelprobe_api``: the
name ``pixelprobe`` belongs to the library. protoc derives Python's import names from file paths and has no
option for this, so the imports in its output are rewritten.

Run as ``python proto/generate.py [--check]`` with the ``dev`` extra installed.
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent
GENERATED = ROOT / "gen"
PACKAGE = "pixelprobe_api"
PROTO_PACKAGES = re.compile(r"\bpixelprobe\.(attack|image|segmentation)\.v1\b(?=\.\w+_pb2| import)")


def generate(out: Path) -> None:
    """Write messages, gRPC stubs and their type stubs below ``out``."""
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("pixelprobe/**/*.proto"))
    arguments = [
        "protoc",
        f"--proto_path={ROOT}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
        *sources,
    ]
    # protoc looks for its plugins on PATH; they lie beside this Python, whether or not its venv is activated.
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed")
    (out / "pixelprobe").rename(out / PACKAGE)
    (out / PACKAGE / "py.typed").touch()
    for folder in [path for path in out.rglob("*") if path.is_dir()]:
        (folder / "__init__.py").touch()
    for stub in sorted(out.rglob("*.py*")):
        stub.write_text(PROTO_PACKAGES.sub(rf"{PACKAGE}.\1.v1", stub.read_text()))
    for stub in sorted(out.rglob("*_pb2_grpc.py")):
        # A file without services yields an empty gRPC module: nothing would ever import it.
        if "Servicer" not in stub.read_text():
            stub.unlink()
            stub.with_suffix(".pyi").unlink()


def _tree(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*.py*") if path.suffix in {".py", ".pyi"}}


def main() -> None:
    """Generate into ``proto/gen``, or compare with it."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if "--check" in sys.argv[1:]:
            drift = sorted(
                str(path)
                for path in _tree(fresh) | _tree(GENERATED)
                if not (fresh / path).exists()
                or not (GENERATED / path).exists()
                or not filecmp.cmp(fresh / path, GENERATED / path, shallow=False)
            )
            if drift:
                raise SystemExit("stubs differ from the .proto files, run `make proto`: " + ", ".join(drift))
            print("stubs are up to date")
            return
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)


if __name__ == "__main__":
    main()
