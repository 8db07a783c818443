"""Any failure is one line on stderr with the right exit code."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from pixelprobe.addresses import AddressError
from pixelprobe.cli.root import cli
from pixelprobe.cli.shell import Shell
from pixelprobe.inputs.images import ImageError
from pixelprobe.inputs.planned import PlanError, TargetNotAvailableError
from pixelprobe.rpc import UnreachableError
from pixelprobe_services.common.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError


def run(error: BaseException) -> tuple[int, str, str]:
    shell = Shell("shell")

    @shell.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(shell, ["fail"])
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ImageError("a.png: no such file"), 2, "a.png: no such file"),
        (PlanError("unknown target"), 2, "unknown target"),
        (AddressError("not HOST:PORT"), 2, "not HOST:PORT"),
        (InvalidArgumentError("spec.seed", "is odd"), 2, "spec.seed: is odd"),
        (click.BadParameter("bad"), 2, "Invalid value: bad"),
        (TargetNotAvailableError("net is down"), 1, "net is down"),
        (NotFoundError("no such\ncampaign"), 2, "no such campaign"),
        (FailedPreconditionError("wrong state"), 1, "wrong state"),
        (
            UnreachableError("orchestrator", "a:1"),
            1,
            "the orchestrator service does not answer at a:1; start the local stack with `pixelprobe up`",
        ),
        (PermissionError(13, "Permission denied", "out/a.png"), 1, "out/a.png: Permission denied"),
        (
            KeyError("x"),
            1,
            "unexpected KeyError: 'x' (set PIXELPROBE_DEBUG=1 and run it again to see where)",
        ),
    ],
)
def test_failures_are_told_in_one_line(error: Exception, code: int, told: str) -> None:
    assert run(error) == (code, "", f"Error: {told}\n")


def test_an_interruption_is_130() -> None:
    code, out, err = run(KeyboardInterrupt())
    assert (code, out) == (130, "")
    assert err.strip() == "Interrupted."


def test_the_traceback_is_there_for_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIXELPROBE_DEBUG", "1")
    code, _, err = run(KeyError("x"))
    assert code == 1
    assert "Traceback" in err


def test_exit_codes_of_commands_go_through() -> None:
    shell = Shell("shell")

    @shell.command()
    @click.pass_context
    def leave(ctx: click.Context) -> None:
        ctx.exit(7)

    assert CliRunner().invoke(shell, ["leave"]).exit_code == 7


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command_in_a_section(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0
    for name in cli.commands:
        assert f"\n  {name} " in result.stdout
    assert set(cli.commands) == {name for names in cli.sections.values() for name in names}


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(cli, ["--version"], prog_name="pixelprobe")
    assert result.exit_code == 0
    assert result.stdout.startswith("pixelprobe ")


@pytest.mark.parametrize("name", ["attack", "segment", "demo", "targets"])
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage: cli" in result.stdout or "Usage: pixelprobe" in result.stdout


def test_ctrl_c_while_it_still_loads_is_quiet() -> None:
    code = """
import sys
class Interrupted:
    def find_spec(self, name, *rest):
        if name == "pixelprobe.cli.root":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from pixelprobe.cli.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
