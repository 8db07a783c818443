from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pixelprobe_deploy.triton import venv
from pixelprobe_deploy.triton.interpreter import Interpreter, RuntimeSetupError, check_platform, probe
from pixelprobe_deploy.triton.logs import last_error_line
from pixelprobe_deploy.triton.runtime import ServerSettings, TritonRuntime, prepare_runtime, server_command

PYTHON = Interpreter(
    version="3.11",
    full_version="3.11.7",
    libpython_name="libpython3.11.so.1.0",
    libpython_folder="/usr/lib",
    site_packages="/usr/lib/site-packages",
    packages={},
)
RUNTIME = TritonRuntime(
    tritonserver=Path("/venv/tritonserver"),
    backends=Path("/home/backends"),
    library_path="/venv/libs:/usr/lib",
    executables=Path("/venv/bin"),
    versions={},
)


def silent(_line: str) -> None:
    """Ignores the line."""


def test_server_listens_where_it_is_told_and_loads_everything_or_ends() -> None:
    settings = ServerSettings("127.0.0.1", 1, 2, 3, "pp_")

    command = server_command(RUNTIME, Path("/home/models"), settings)

    assert command[0] == "/venv/tritonserver"
    assert {
        "--model-repository=/home/models",
        "--backend-directory=/home/backends",
        "--backend-config=python,shm-region-prefix-name=pp_",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
    } <= set(command)
    for name, port in (("http", 1), ("grpc", 2), ("metrics", 3)):
        assert f"--{name}-address=127.0.0.1" in command
        assert f"--{name}-port={port}" in command


def test_environment_puts_the_venv_first_and_keeps_the_rest() -> None:
    base = {"PATH": "/bin", "LD_LIBRARY_PATH": "/own", "PYTHONPATH": "/x", "PYTHONHOME": "/y", "LANG": "C"}

    assert RUNTIME.environment(base) == {
        "PATH": "/venv/bin:/bin",
        "LD_LIBRARY_PATH": "/venv/libs:/usr/lib:/own",
        "LANG": "C",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    assert RUNTIME.environment({})["LD_LIBRARY_PATH"] == "/venv/libs:/usr/lib"


def test_this_python_is_known() -> None:
    found = probe(Path(sys.executable))

    assert found.version == f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert found.packages["numpy"]


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeSetupError, match="nowhere/python3"):
        probe(tmp_path / "nowhere" / "python3")


@pytest.mark.parametrize(
    ("interpreter", "system", "machine", "message"),
    [
        (PYTHON, "darwin", "arm64", "Linux on x86-64 only"),
        (PYTHON, "linux", "aarch64", "Linux on x86-64 only"),
        (replace(PYTHON, version="3.13", full_version="3.13.0"), "linux", "x86_64", "3.11 or 3.12"),
        (replace(PYTHON, libpython_folder=""), "linux", "x86_64", r"apt install libpython3\.11"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    interpreter: Interpreter, system: str, machine: str, message: str
) -> None:
    with pytest.raises(RuntimeSetupError, match=message) as caught:
        check_platform(interpreter, system, machine)
    assert "\n" not in str(caught.value)


def test_what_can_work_passes() -> None:
    check_platform(PYTHON, "linux", "x86_64")


def test_a_venv_without_the_packages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pixelprobe_deploy.triton.runtime.probe", lambda _python: replace(PYTHON, packages={"numpy": "2.1"})
    )

    with pytest.raises(RuntimeSetupError, match="instead of nvidia-pytriton"):
        prepare_runtime(tmp_path, tmp_path / "backends")


@pytest.fixture
def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the wheel that count, and an interpreter that says it holds them."""
    site = tmp_path / "site-packages"
    wheel = site / "pytriton" / "tritonserver"
    for name in (
        "backends/python/libtriton_python.so",
        "backends/python/triton_python_backend_utils.py",
        "python_backend_stubs/3.11/triton_python_backend_stub",
    ):
        (wheel / name).parent.mkdir(parents=True, exist_ok=True)
        (wheel / name).write_text(name)
    packages = {"nvidia-pytriton": "0.7.0", "onnxruntime": "1.31.1", "numpy": "1.26.4"}
    interpreter = replace(PYTHON, site_packages=str(site), packages=packages)
    monkeypatch.setattr("pixelprobe_deploy.triton.runtime.probe", lambda _python: interpreter)
    return wheel


def test_backend_directory_holds_the_stub_of_this_python(fake_wheel: Path, tmp_path: Path) -> None:
    runtime = prepare_runtime(tmp_path / "venv", tmp_path / "backends")

    assert sorted(path.name for path in (runtime.backends / "python").iterdir()) == [
        "libtriton_python.so",
        "triton_python_backend_stub",
        "triton_python_backend_utils.py",
    ]
    assert runtime.tritonserver == fake_wheel / "bin" / "tritonserver"
    assert runtime.library_path == f"{fake_wheel.parents[1] / 'nvidia_pytriton.libs'}:/usr/lib"


def test_backend_directory_follows_the_wheel(fake_wheel: Path, tmp_path: Path) -> None:
    runtime = prepare_runtime(tmp_path / "venv", tmp_path / "backends")
    (fake_wheel / "backends/python/libtriton_python.so").write_text("newer")

    prepare_runtime(tmp_path / "venv", tmp_path / "backends")

    assert (runtime.backends / "python/libtriton_python.so").read_text() == "newer"


def test_a_wheel_without_the_stub_is_explained(fake_wheel: Path, tmp_path: Path) -> None:
    shutil.rmtree(fake_wheel / "python_backend_stubs")

    with pytest.raises(RuntimeSetupError, match="cannot prepare Triton's backends"):
        prepare_runtime(tmp_path / "venv", tmp_path / "backends")


def test_a_venv_given_by_name_is_used_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(venv.VENV_VARIABLE, str(tmp_path / "given"))

    assert venv.ensure_venv(tmp_path / "home", silent, lambda: None) == tmp_path / "given"
    assert not (tmp_path / "home").exists()


def test_a_failed_installation_is_reported_and_leaves_only_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(venv.VENV_VARIABLE, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements.lock").write_text(f"nvidia-pytriton==0.7.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(venv, "LOCK", tmp_path / "requirements.lock")
    reported: list[str] = []

    with pytest.raises(RuntimeSetupError, match=r"pip install.*No matching distribution.*install\.log"):
        venv.ensure_venv(tmp_path / "home", reported.append, lambda: None)

    assert [path.name for path in (tmp_path / "home").iterdir()] == ["logs"]
    assert "about a minute" in reported[0]


def test_an_interrupted_installation_leaves_only_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(venv.VENV_VARIABLE, raising=False)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        venv.ensure_venv(tmp_path, silent, interrupt)

    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            "I1122 all is well\nE1122 10:00 failed to load 'x'\nI1122 unloading\n",
            "E1122 10:00 failed to load 'x'",
        ),
        ("Traceback (most recent call last):\n  File x\nValueError: no\n\n", "ValueError: no"),
        ("one\ntwo   words\n", "two words"),
        ("", "its log is empty"),
    ],
)
def test_last_error_line(tmp_path: Path, log: str, line: str) -> None:
    (tmp_path / "log").write_text(log)

    assert last_error_line(tmp_path / "log") == line


def test_last_error_line_without_a_log(tmp_path: Path) -> None:
    assert last_error_line(tmp_path / "absent") == "no log (No such file or directory)"
