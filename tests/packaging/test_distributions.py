"""The built distributions: what they own, what they carry, and that an installed wheel works by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("client", "services", "deploy", "proto/gen")
COMMANDS = ("pixelprobe", "pixelprobe-orchestrator", "pixelprobe-segmentation")
IMPORTED = """
import importlib.resources as resources, pathlib, sys
import pixelprobe.api, pixelprobe.report, pixelprobe_api.attack.v1.attack_service_pb2
import pixelprobe_deploy.local.commands, pixelprobe_services.orchestrator.__main__
from pixelprobe_deploy.modelzoo.catalogue import shipped_models
for model in shipped_models():
    model.verify()
home = pathlib.Path(sys.prefix)
for name, module in list(sys.modules.items()):
    if name.partition(".")[0].startswith("pixelprobe") and getattr(module, "__file__", None):
        assert home in pathlib.Path(module.__file__).parents, module.__file__
"""


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, built from the files that git has, and the wheel, built from the sdist."""
    checkout, built = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("built")
    tracked = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, tracked.split("\0")):
        if name.startswith(SOURCE_ROOTS) or "/" not in name:
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_file():
                (checkout / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", built, checkout, cwd=built)
    return built


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Path:
    (found,) = distributions.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a venv with the wheel; its dependencies are those of the venv that runs the tests."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    run(sys.executable, "-m", "pip", "--python", folder, "install", "-q", "--no-deps", wheel, cwd=folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    ours = [path for path in map(Path, sys.path) if path.name in ("site-packages", "dist-packages")]
    (packages / "dependencies.pth").write_text("\n".join(map(str, ours)) + "\n")
    return folder / "bin"


def test_distributions_pass_twines_checks(distributions: Path) -> None:
    checked = run(sys.executable, "-m", "twine", "check", "--strict", *distributions.iterdir(), cwd=ROOT)

    assert checked.count("PASSED") == 2


def test_wheel_owns_no_name_but_pixelprobes(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}

    assert {top for top in tops if not top.startswith("pixelprobe")} == set()


def test_wheel_carries_every_file_of_the_packages(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *SOURCE_ROOTS, cwd=ROOT)
    for name in tracked.splitlines():
        path = next(name.removeprefix(f"{root}/") for root in SOURCE_ROOTS if name.startswith(f"{root}/"))
        if path.startswith("pixelprobe") and (ROOT / name).is_file():
            assert path in packed, name


def test_every_package_is_typed(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in packed if name.endswith("/__init__.py")}

    assert {name for name in packed if name.endswith("py.typed")} == {f"{top}/py.typed" for top in tops}


def test_installed_wheel_answers_and_imports_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    (version,) = run(installed / "pixelprobe", "--version", cwd=tmp_path).splitlines()
    assert "0.1.0" in version
    for command in COMMANDS:
        assert run(installed / command, "--help", cwd=tmp_path).startswith("Usage: ")
    run(installed / "python", "-c", IMPORTED, cwd=tmp_path)


def test_service_without_its_extra_says_what_to_install(installed: Path, tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['grpc_reflection'] = None; "
    done = subprocess.run(
        [
            installed / "python",
            "-I",
            "-c",
            hidden + "from pixelprobe_services import programs as p; p.orchestrator()",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "pip install 'pixelprobe[server]'" in line
