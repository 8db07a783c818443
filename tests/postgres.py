"""A real PostgreSQL server for tests: Debian's package, started once a session on a free port.

Each test gets a fresh database. Where the package is missing, tests that ask for it fail and say what to do.
"""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

HOST = "127.0.0.1"
USER = "pixelprobe"
_SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": "100",
    "fsync": "off",  # this server never outlives a test run
}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server that trusts local connections of USER, its superuser."""

    port: int
    folder: Path
    programs: Path

    def new_database(self, encoding: str = "UTF8") -> str:
        """The URL of an empty database."""
        name = f"test_{next(_numbers)}"
        create = "CREATE DATABASE {} TEMPLATE template0 LOCALE 'C' ENCODING {}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(create).format(sql.Identifier(name), sql.Literal(encoding)))
        return self._url(name)

    def stop(self, mode: str = "immediate") -> None:
        """Stop; to clients ``immediate`` looks like a crash."""
        self._control("stop", "-m", mode)

    def start(self) -> None:
        """Start, or start again; returns once connections are accepted."""
        options = " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())
        self._control(
            "start", "-l", str(self.folder / "log"), "-o", f"{options} -p {self.port} -k {self.folder}"
        )

    def _control(self, *arguments: str) -> None:
        _run([str(self.programs / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *arguments])

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{database}"


@cache
def shared_server() -> PostgresServer:
    """Return the shared server of this process; it is stopped and removed when Python ends."""
    return new_server()


def new_server() -> PostgresServer:
    """Start a separate server, for tests that stop it."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="pixelprobe-postgres-"))
    if os.geteuid() == 0:  # initdb refuses to run as root
        account = _unprivileged()
        os.chown(folder, account.pw_uid, account.pw_gid)
    server = PostgresServer(_free_port(), folder, programs)
    _run(
        [
            *(str(programs / "initdb"), "-D", str(folder / "data"), "-U", USER),
            *("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ]
    )
    server.start()
    atexit.register(_remove, server)
    return server


def _remove(server: PostgresServer) -> None:
    if (server.folder / "data" / "postmaster.pid").exists():
        server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


def _programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]), reverse=True
    )
    on_path = shutil.which("initdb")
    if found:
        return found[0].parent
    if on_path:
        return Path(on_path).parent
    raise AssertionError("these tests need a PostgreSQL server: apt-get install postgresql")


def _unprivileged() -> pwd.struct_passwd:
    names = {account.pw_name for account in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


def _run(command: list[str]) -> None:
    user = _unprivileged().pw_name if os.geteuid() == 0 else None
    # To a file and not a pipe: the server inherits it, and would keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, stdout=output, stderr=output, user=user, cwd="/", timeout=60, check=False
        )
        output.seek(0)
        assert done.returncode == 0, output.read().decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
