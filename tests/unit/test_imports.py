"""Who may import whom: every Python file is read, and each import held against the rules below.

An import counts wherever it stands: at the top, in a function, or for type checkers only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("services", "client", "deploy")

ORCHESTRATOR = "services.orchestrator"
CORE = f"{ORCHESTRATOR}.core"
ORDER: tuple[tuple[str, ...], ...] = (
    ("core", "reads"),
    ("targets", "store", "masks", "metrics", "convert", "convert_spec"),
    ("query",),
    ("quotas",),
    ("journal",),
    ("runner",),
    ("events", "patience", "readiness"),
    ("executors",),
    ("stalls",),
    ("campaign", "admission"),
    ("servicer",),
    ("__main__",),
)
"""Of the orchestrator, lowest first: a room imports from its own level and from those below."""

IMPURE = {
    "asyncio",
    "concurrent",
    "ctypes",
    "datetime",
    "http",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
}
IMPURE |= {"random", "secrets", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile"}
IMPURE |= {"threading", "time", "urllib", "uuid"}
PURE_LIBRARY = tuple(sys.stdlib_module_names - IMPURE)

SPEAKS_GRPC = (
    "services.common.auth",
    "services.common.bounds",
    "services.common.images",
    "services.common.interceptors",
    "services.common.peers",
    "services.common.security",
    "services.common.server",
    "services.common.status",
    "services.segmentation.__main__",
    "services.segmentation.convert",
    "services.segmentation.servicer",
    "services.segmentation.triton",
    f"{ORCHESTRATOR}.__main__",
    f"{ORCHESTRATOR}.convert",
    f"{ORCHESTRATOR}.convert_spec",
    f"{ORCHESTRATOR}.masks",
    f"{ORCHESTRATOR}.servicer",
    "client.api",
    "client.convert",
    "client.rpc",
    "client.tracing",
)
SHARED_WITH_CLIENT = tuple(
    f"services.common.{name}" for name in ("errors", "images", "peers", "status", "tracing")
)


@dataclass(frozen=True)
class Import:
    """One import of ``module`` by ``importer``, both dotted names."""

    importer: str
    module: str
    place: str


@dataclass(frozen=True)
class Rule:
    """Broken where ``importers`` holds for the importing module and ``forbids`` for the imported."""

    text: str
    importers: Callable[[str], bool]
    forbids: Callable[[str], bool]


def within(*rooms: str) -> Callable[[str], bool]:
    """Whether a module is one of these rooms, or in one."""
    return lambda module: any(module == room or module.startswith(f"{room}.") for room in rooms)


def but_not(room: Callable[[str], bool], exception: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda module: room(module) and not exception(module)


def anything_but(*rooms: str) -> Callable[[str], bool]:
    return lambda module: not within(*rooms)(module)


RULES = (
    Rule(
        "core imports numpy, scipy, itself, and of the standard library what has no I/O, clock or threads",
        within(CORE),
        anything_but("numpy", "scipy", CORE, *PURE_LIBRARY),
    ),
    Rule(
        "targets never import the search or the store",
        within(f"{ORCHESTRATOR}.targets"),
        within(f"{CORE}.search", f"{ORCHESTRATOR}.store"),
    ),
    Rule(
        "the attacker holds no model: no torch, torchvision, onnxruntime or deploy",
        within(ORCHESTRATOR, "client", "services.common"),
        within("torch", "torchvision", "onnxruntime", "deploy"),
    ),
    Rule(
        "deploy starts the services as processes and never imports the orchestrator or the client",
        within("deploy"),
        within(ORCHESTRATOR, "client"),
    ),
    Rule(
        f"the client imports nothing of the services but {', '.join(SHARED_WITH_CLIENT)}",
        within("client"),
        but_not(within("services"), within(*SHARED_WITH_CLIENT)),
    ),
    Rule("no service imports the client", within("services"), within("client")),
    Rule(
        "only the orchestrator imports the orchestrator",
        but_not(within("services"), within(ORCHESTRATOR)),
        within(ORCHESTRATOR),
    ),
    Rule(
        "stubs stay at the edge: servicers, converters, masks, common and client.api",
        but_not(within("services", "client"), within(*SPEAKS_GRPC)),
        within("pixelprobe"),
    ),
    Rule(
        "gRPC stays at the edge: servicers, converters, masks, targets, segmentation.triton, common, client",
        but_not(within("services", "client"), within(f"{ORCHESTRATOR}.targets", *SPEAKS_GRPC)),
        within("grpc"),
    ),
)


def modules_of(files: Mapping[str, str]) -> dict[str, str]:
    """Dotted name to path, of paths relative to the root."""
    return {path.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in files}


def imports_of(files: Mapping[str, str]) -> Iterator[Import]:
    """All imports; of ``from a import b`` the module is a.b if there is such a file, else a."""
    modules = modules_of(files)
    for importer, path in modules.items():
        package = importer if path.endswith("__init__.py") else importer.rpartition(".")[0]
        for node in ast.walk(ast.parse(files[path], path)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*parents, *filter(None, [base])])
                names = [
                    full if (full := f"{base}.{alias.name}") in modules else base for alias in node.names
                ]
            else:
                continue
            for name in dict.fromkeys(names):
                yield Import(importer, name, f"{path}:{node.lineno}")


def level_of(module: str) -> int | None:
    """The place in ORDER of a module of the orchestrator."""
    room = module.removeprefix(f"{ORCHESTRATOR}.").partition(".")[0]
    return next((level for level, rooms in enumerate(ORDER) if room in rooms), None)


def broken_order(files: Mapping[str, str]) -> Iterator[str]:
    inside = within(ORCHESTRATOR)
    for module, path in modules_of(files).items():
        if inside(module) and module != ORCHESTRATOR and level_of(module) is None:
            yield f"{path}:1: {module} has no place in ORDER of tests/unit/test_imports.py"
    for found in imports_of(files):
        if inside(found.importer) and inside(found.module):
            own, other = level_of(found.importer), level_of(found.module)
            if own is not None and other is not None and own < other:
                above, below = "/".join(ORDER[other]), "/".join(ORDER[own])
                yield (
                    f"{found.place}: {found.importer} imports {found.module}; "
                    f"imports run one way, from {above} down to {below}"
                )


def broken_rules(files: Mapping[str, str]) -> Iterator[str]:
    for found in imports_of(files):
        for rule in RULES:
            if rule.importers(found.importer) and rule.forbids(found.module):
                yield f"{found.place}: {found.importer} imports {found.module}; {rule.text}"


def circles(files: Mapping[str, str]) -> Iterator[str]:
    """One circle of imports, if there is any."""
    modules = modules_of(files)
    edges = {(found.importer, found.module): found.place for found in imports_of(files)}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for importer, module in edges:
        if module in modules and module != importer:
            graph[importer].add(module)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each module before the one that imports it.
        circle = error.args[1][::-1]
        steps = [f"{edges[step]}: {step[0]} imports {step[1]}" for step in pairwise(circle)]
        yield "; ".join(steps) + "; imports must not run in a circle"


def the_project() -> dict[str, str]:
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


@pytest.mark.parametrize("check", [broken_rules, broken_order, circles])
def test_the_project_keeps_the_rules(check: Callable[[Mapping[str, str]], Iterator[str]]) -> None:
    files = the_project()
    assert "services/orchestrator/core/domain.py" in files
    broken = list(check(files))
    assert not broken, "\n" + "\n".join(broken)


def name(path: str) -> str:
    return next(iter(modules_of({path: ""})))


@pytest.mark.parametrize(
    ("path", "statement", "rule"),
    [
        ("services/orchestrator/core/goal.py", "import asyncio", "core imports numpy"),
        ("services/orchestrator/core/goal.py", "from time import monotonic", "core imports numpy"),
        ("services/orchestrator/core/goal.py", "import os.path", "core imports numpy"),
        ("services/orchestrator/core/search/de.py", "import services.common.errors", "core imports numpy"),
        ("services/orchestrator/core/search/de.py", "from ...runner import Run", "core imports numpy"),
        ("services/orchestrator/core/goal.py", "import google.protobuf", "core imports numpy"),
        ("services/orchestrator/targets/base.py", "from ..store import base", "targets never"),
        ("services/orchestrator/targets/base.py", f"import {CORE}.search.base", "targets never"),
        ("services/orchestrator/runner.py", "def f():\n import torch.nn", "holds no model"),
        ("client/cli/up.py", "from deploy.local import up", "holds no model"),
        ("services/common/images.py", "import onnxruntime", "holds no model"),
        ("deploy/local/up.py", "from client import api", "deploy starts the services"),
        ("deploy/local/up.py", "import services.orchestrator", "deploy starts the services"),
        ("client/api.py", "from services.common import server", "client imports nothing"),
        ("client/api.py", f"from {CORE} import domain", "client imports nothing"),
        ("services/common/server.py", "import client", "no service imports the client"),
        ("services/segmentation/servicer.py", f"from {CORE} import domain", "only the orchestrator"),
        ("services/orchestrator/store/sql.py", "from pixelprobe.attack import v1", "stubs stay"),
        ("services/orchestrator/targets/base.py", "import pixelprobe.attack", "stubs stay"),
        ("services/orchestrator/runner.py", "import grpc.aio", "gRPC stays"),
        ("client/cli/up.py", "import grpc", "gRPC stays"),
    ],
)
def test_each_rule_catches_what_breaks_it(path: str, statement: str, rule: str) -> None:
    files = {"services/common/server.py": "", "client/api.py": "", path: f"'''A room.'''\n{statement}\n"}
    broken = list(broken_rules(files))
    line = 3 if "\n" in statement else 2
    assert any(text.startswith(f"{path}:{line}: {name(path)} imports ") and rule in text for text in broken)


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("services/orchestrator/core/goal.py", "import json, numpy.random, scipy.stats"),
        ("services/orchestrator/core/search/de.py", "from . import base\nfrom ..domain import Goal"),
        ("services/orchestrator/targets/grpc.py", "import grpc, tritonclient.grpc, services.common.errors"),
        ("services/orchestrator/servicer.py", "import grpc, pixelprobe.attack.v1.result_pb2"),
        ("client/api.py", "import grpc, pixelprobe, services.common.errors, services.common.images"),
        ("client/cli/up.py", "import deployment, torchless, clients"),
        ("deploy/modelzoo/train.py", "import torch, onnxruntime, services.common.errors"),
    ],
)
def test_what_is_allowed_passes(path: str, statement: str) -> None:
    assert list(broken_rules({path: statement})) == []


def test_the_order_catches_an_import_from_above_and_a_room_without_a_place() -> None:
    files = {
        "services/orchestrator/__init__.py": "",
        "services/orchestrator/runner.py": f"import {ORCHESTRATOR}.query.batcher",
        "services/orchestrator/query/__init__.py": "",
        "services/orchestrator/query/batcher.py": "from .. import runner\nfrom .budget import Budget",
        "services/orchestrator/query/budget.py": "",
    }
    (broken,) = broken_order(files)
    assert broken.startswith("services/orchestrator/query/batcher.py:1: ")
    assert broken.endswith("imports run one way, from runner down to query")
    (homeless,) = broken_order({"services/orchestrator/attic.py": ""})
    assert homeless.startswith("services/orchestrator/attic.py:1: services.orchestrator.attic has no place")


def test_a_circle_is_told_step_by_step() -> None:
    files = {
        "client/a.py": "import client.b",
        "client/b.py": "\nfrom client import c",
        "client/c.py": "def late():\n    from .a import thing",
    }
    (circle,) = circles(files)
    for step in ("client/a.py:1: client.a imports client.b", "client/b.py:2: client.b imports client.c"):
        assert step in circle
    assert "client/c.py:2: client.c imports client.a" in circle
    assert circle.endswith("imports must not run in a circle")
    assert not list(circles({**files, "client/c.py": ""}))
