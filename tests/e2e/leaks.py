"""Places where a secret might leak, and the texts to search for."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker

_KEY_MARK = b"PRIVATE KEY-----\n"
"""Begins a key's body: what reads keys knows the mark itself, but has no line after it."""

_SECRET_NAMES = (".token", "-key.pem", ".env", ".netrc", ".pypirc", "pip.conf", "tokens.toml", "id_rsa")


def secrets_of(folder: Path) -> dict[str, str]:
    """Return, by file, texts that must appear nowhere: each token, and a line of each private key."""
    found = {file.name: file.read_text().strip() for file in folder.glob("*.token")}
    for file in folder.glob("*-key.pem"):
        found[file.name] = file.read_text().splitlines()[1]
    assert found
    assert all(len(secret) > 30 for secret in found.values())
    return found


def seen_in(text: str, secrets: dict[str, str]) -> list[str]:
    """Return those that ``text`` contains."""
    return [name for name, secret in secrets.items() if secret in text]


def inspected(container: Any) -> str:
    """Return the output of ``docker inspect`` and ``docker top``, with environment and command."""
    return json.dumps(container.attrs) + json.dumps(container.top(ps_args="-eo pid,args"))


def suspicious_files(engine: docker.DockerClient, name: str) -> Iterator[str]:
    """Files of an image that are called as secrets are, or hold a private key.

    Shared libraries may: those for TLS test themselves with keys that everybody knows.
    """
    container = engine.containers.create(name)
    try:
        with tarfile.open(fileobj=_Reader(container.export()), mode="r|") as files:
            for member in files:
                if member.name.endswith(_SECRET_NAMES):
                    yield member.name
                looked_into = member.isfile() and ".so" not in member.name
                content = files.extractfile(member) if looked_into else None
                if content is not None and _KEY_MARK in content.read():
                    yield member.name
    finally:
        container.remove()


class _Reader(io.RawIOBase):
    """A stream of chunks, read as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise io.UnsupportedOperation("as a stream, in pieces")
        while len(self._rest) < size and (chunk := next(self._chunks, b"")):
            self._rest += chunk
        read, self._rest = self._rest[:size], self._rest[size:]
        return read
