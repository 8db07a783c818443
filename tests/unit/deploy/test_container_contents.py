"""What the Dockerfiles copy is enough to run each container's program, and its packages are all installed.

No engine is needed: the COPY lines of a stage are carried out in a folder, and the program is imported there
with an import hook that knows the packages of the container's requirements file and no others.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTAINERS = ROOT / "deploy" / "containers"

PROGRAM = """
import importlib, sys
from importlib import metadata

folder, entry, *required = sys.argv[1:]
sys.path[:0] = [folder]

# The packages that pip would install: the required ones and everything these need.
from packaging.requirements import Requirement
installed, waiting = set(), [Requirement(text) for text in required]
while waiting:
    requirement = waiting.pop()
    key = (requirement.name.lower(), tuple(sorted(requirement.extras)))
    if key in installed:
        continue
    installed.add(key)
    for text in metadata.requires(requirement.name) or []:
        needed = Requirement(text)
        extras = requirement.extras or {""}
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
            waiting.append(needed)
names = {name.replace("_", "-") for name, _ in installed}
tops = {
    top
    for top, distributions in metadata.packages_distributions().items()
    if not top.startswith("pixelprobe")
    and not {distribution.replace("_", "-").lower() for distribution in distributions} & names
}


class Installed:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in tops else self.finder.find_spec(name, path, target)


sys.meta_path[:] = map(Installed, sys.meta_path)
for module in entry.split(","):
    importlib.import_module(module)
for name, module in sys.modules.items():
    if name.startswith("pixelprobe"):
        assert (module.__file__ or folder).startswith(folder), (name, module.__file__)
"""


def stages(dockerfile: Path) -> dict[str, tuple[str, list[list[str]]]]:
    """Each stage's base and its COPY lines from the build context, by the stage's name."""
    text = dockerfile.read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, list[list[str]]]] = {}
    name = ""
    for line in text.splitlines():
        if start := re.match(r"FROM (\S+)(?: AS (\S+))?", line):
            name = start[2] or "final"
            found[name] = (start[1], [])
        elif line.startswith("COPY ") and "--from" not in line:
            found[name][1].append(line.split()[1:])
    return found


def copied(dockerfile: Path, stage: str, folder: Path, root: str = "", name: str = "models") -> None:
    """Carry out the COPY lines of ``stage`` and of the stages it is based on.

    ``root`` is dropped from the targets; ``name`` is the build argument NAME.
    """
    known = stages(dockerfile)
    base, lines = known[stage]
    if base in known:
        copied(dockerfile, base, folder, root, name)
    for *sources, target in lines:
        place = folder / target.removeprefix(root).removeprefix("/")
        for source in sources:
            path = ROOT / source.replace("${NAME}", name)
            if path.is_dir():
                shutil.copytree(path, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                into = place / path.name if target.endswith("/") else place
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into)


def requirements(name: str) -> list[str]:
    lines = (CONTAINERS / "requirements" / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def run_isolated(folder: Path, modules: str, *required: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), modules, *required],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("stage", "modules"),
    [
        ("segmentation", "pixelprobe_services.segmentation.__main__,service_ready"),
        ("orchestrator", "pixelprobe_services.orchestrator.__main__,service_ready"),
        ("models", "pixelprobe_deploy.triton.__main__,postgres_secret,grafana_secret"),
    ],
)
def test_container_holds_what_its_program_imports(stage: str, modules: str, tmp_path: Path) -> None:
    copied(CONTAINERS / "python.Dockerfile", stage, tmp_path)

    done = run_isolated(tmp_path, modules, *requirements(stage))

    assert done.returncode == 0, done.stderr


def test_import_of_a_package_that_the_container_lacks_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import onnx\n")

    done = run_isolated(tmp_path, "program", *requirements("segmentation"))

    assert "No module named 'onnx'" in done.stderr


@pytest.mark.parametrize("name", ["triton", "triton-gpu"])
def test_triton_container_needs_the_standard_library_alone(name: str, tmp_path: Path) -> None:
    dockerfile = CONTAINERS / f"{name}.Dockerfile"
    stage = "build" if name == "triton" else "final"
    copied(dockerfile, stage, tmp_path, root="/build")

    done = run_isolated(tmp_path, "serve_triton")

    assert done.returncode == 0, done.stderr


def test_saliency_stage_holds_what_its_program_imports(tmp_path: Path) -> None:
    copied(CONTAINERS / "python.Dockerfile", "saliency", tmp_path, root="/build")

    done = run_isolated(tmp_path, "fetch_u2net", *requirements("models"))

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", sorted(CONTAINERS.glob("*.Dockerfile")), ids=lambda file: file.stem)
def test_everything_copied_is_in_the_build_context(file: Path) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules[0] == "*"
    let_in = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    for _, lines in stages(file).values():
        for *sources, _ in lines:
            for source in (text.replace("${NAME}", "models") for text in sources):
                assert (ROOT / source).exists(), source
                assert any(
                    source == rule or source.startswith(f"{rule}/") or rule.startswith(f"{source}/")
                    for rule in let_in
                ), source
