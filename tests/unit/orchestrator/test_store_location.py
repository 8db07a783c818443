"""Where the store is: which URLs are taken, and that no password is ever shown."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pixelprobe_services.orchestrator.store.errors import StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation, locate, store_options

SECRET = "s3cret-word"


def test_the_default_is_a_file_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIXELPROBE_HOME", str(tmp_path))
    assert locate(None, None).file == tmp_path / "pixelprobe.db"
    monkeypatch.delenv("PIXELPROBE_HOME")
    assert locate(None, None).file == Path.home() / ".pixelprobe" / "pixelprobe.db"


def test_the_three_kinds() -> None:
    assert locate("memory://", None).url is None
    assert locate("sqlite:////srv/a.db", None).file == Path("/srv/a.db")
    assert locate("sqlite:///a.db", None).file == Path("a.db")
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        location = locate(f"{scheme}://me@db:5432/probe?sslmode=require", None)
        assert location.file is None
        assert location.url is not None
        assert location.url.drivername == "postgresql+psycopg"
        assert location.url.query["sslmode"] == "require"


@pytest.mark.parametrize(
    "url",
    [
        "", "nonsense", "sqlite://", "sqlite:///:memory:", "sqlite://host/file", "sqlite:///a.db?mode=ro",
        "mysql://me@db/probe", "postgresql+psycopg2://me@db/probe", "postgresql://me@db:port/probe",
        f"mongodb://me:{SECRET}@db/probe", "memory://x",
    ],
)  # fmt: skip
def test_anything_else_is_refused_without_being_repeated(url: str, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(url or "\n")
    with pytest.raises(StoreSetupError) as refused:
        locate(None, file)
    assert SECRET not in str(refused.value)
    if url:
        with pytest.raises(StoreSetupError, match="memory://, sqlite:///FILE or postgresql://"):
            locate(url, None)


def test_a_file_holds_one_line(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(f"postgresql://me:{SECRET}@db/probe\n")
    location = locate(None, file)
    assert location.url is not None
    assert location.url.password == SECRET
    for text in (b"memory://\nmemory://", b"\xff\xfe"):
        file.write_bytes(text)
        with pytest.raises(StoreSetupError, match="--store-file"):
            locate(None, file)
    with pytest.raises(StoreSetupError, match="No such file"):
        locate(None, tmp_path / "missing")
    with pytest.raises(StoreSetupError, match="not both"):
        locate("memory://", file)


@pytest.mark.parametrize(
    "url", [f"postgresql://me:{SECRET}@db/probe", f"postgresql://me@db/probe?password={SECRET}"]
)
def test_a_password_is_never_shown_and_never_typed(url: str) -> None:
    location = locate(url, None)
    for shown in (str(location), repr(location), f"{location}", str({"store": location})):
        assert SECRET not in shown
        assert "me" in shown
        assert "db/probe" in shown
    with pytest.raises(StoreSetupError, match="a password on the command line is seen") as refused:
        locate(url, None, on_command_line=True)
    assert SECRET not in str(refused.value)
    assert locate("postgresql://me@db/probe", None, on_command_line=True).url is not None


@click.command()
@store_options
@click.option("--other", default="x")
def command(store: StoreLocation, other: str) -> None:
    click.echo(f"{store} {other}")


def test_the_options(tmp_path: Path) -> None:
    runner = CliRunner()
    url = f"postgresql://me:{SECRET}@db/probe"
    assert runner.invoke(command, ["--store", "memory://", "--other", "y"]).output == "memory:// y\n"
    refused = runner.invoke(command, ["--store", url])
    assert refused.exit_code == 2
    assert "command line" in refused.output
    assert SECRET not in refused.output
    shown = "postgresql+psycopg://me:***@db/probe x\n"
    assert runner.invoke(command, env={"PIXELPROBE_STORE": url}).output == shown
    file = tmp_path / "url"
    file.write_text(url)
    assert runner.invoke(command, ["--store-file", str(file)]).output == shown
    assert runner.invoke(command, env={"PIXELPROBE_STORE_FILE": str(file)}).output == shown
