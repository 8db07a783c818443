"""Small conveniences of the command line: a new spec, the version, exit codes, completion, no colours."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from pixelprobe.campaigns.spec_file import read_spec
from pixelprobe.cli.console import make_console
from pixelprobe.cli.root import cli
from pixelprobe.model import SearchSettings
from tests.unit.client.values import OTHER, TARGET


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [*map(str, arguments)], prog_name="pixelprobe")
    return result.exit_code, result.stdout, result.stderr


def test_a_new_spec_is_valid_and_has_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "my spec.toml"
    code, out, err = run("campaign", "new", file)
    assert (code, out) == (0, "")
    assert "Fill in targets and data" in err
    spec = read_spec(file)
    assert spec.name == "my-spec"
    (group,) = spec.groups
    assert group.search == SearchSettings()
    # What is commented out is valid as well.
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", file.read_text(encoding="utf-8"), flags=re.M)
    text = text.replace('kind = "cifar10"', 'kind = "folder"').replace('split = "test"', "")
    full = tmp_path / "full.toml"
    full.write_text(text, encoding="utf-8")
    assert [each.name for each in read_spec(full).groups] == ["five"]
    assert tomllib.loads(text)["budget"] == 10000


def test_a_new_spec_does_not_overwrite(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    assert run("campaign", "new", file) == (
        2,
        "",
        f"Error: {file}: is there already; --force overwrites it\n",
    )
    assert file.read_text() == "mine"
    assert run("campaign", "new", file, "--force")[0] == 0
    assert read_spec(file).name == "mine"
    assert run("campaign", "new", tmp_path)[0] == 2


def test_the_version_has_a_short_option() -> None:
    assert run("-V") == run("--version")
    assert run("-V")[1].startswith("pixelprobe ")


def test_the_help_lists_exit_codes() -> None:
    text = run("--help")[1]
    for code in ("0", "1", "2", "3", "130"):
        assert re.search(rf"^ +{code}  ", text, re.M)


class Targets:
    """A client that knows two targets."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> Targets:
        return self

    def __exit__(self, *_: object) -> None: ...

    def list_targets(self) -> list[object]:
        return [TARGET, OTHER]


def completions(*words: str) -> list[str]:
    completer = ShellComplete(cli, {}, "pixelprobe", "_PIXELPROBE_COMPLETE")
    return [item.value for item in completer.get_completions([*words[:-1]], words[-1])]


@pytest.mark.parametrize("command", [("attack", "x.png"), ("report", "campaigns/1")])
def test_targets_are_completed(monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]) -> None:
    monkeypatch.setattr("pixelprobe.cli.options.PixelprobeClient", Targets)
    monkeypatch.setenv("PIXELPROBE_ORCHESTRATOR", "127.0.0.1:1")
    assert completions(*command, "--target", "") == ["net", "other"]
    assert completions(*command, "--target", "o") == ["other"]


def test_completion_without_a_stack_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PIXELPROBE_ORCHESTRATOR", raising=False)
    monkeypatch.setenv("PIXELPROBE_HOME", str(tmp_path))
    assert completions("attack", "--target", "") == []
    assert capsys.readouterr() == ("", "")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
        console = make_console()
        console.file = io.StringIO()
        console.print("[red]failed")
        written.append(console.file.getvalue())
    assert written[0] == "\x1b[31mfailed\x1b[0m\n"
    assert written[1] == "failed\n"


def test_every_command_that_takes_images_has_both_addresses() -> None:
    for command in (
        ("attack",),
        ("segment",),
        ("segment", "review"),
        ("demo",),
        ("campaign", "run"),
        ("campaign", "plan"),
    ):
        text = run(*command, "--help")[1]
        assert "--orchestrator HOST:PORT" in text, command
        assert "--segmentation HOST:PORT" in text, command


def test_an_address_that_is_not_used_is_still_checked() -> None:
    code, _, err = run("attack", "x.png", "--target", "net", "--segmentation", "nowhere")
    assert (code, err) == (2, "Error: the address: 'nowhere' is not HOST:PORT\n")
