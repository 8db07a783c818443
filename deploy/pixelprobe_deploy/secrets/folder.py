"""A folder of secrets: for the stack of deploy/containers/secure.yaml, and for its clients.

    ca.pem                         the authority: clients trust it with --tls-ca
    ca-key.pem                     its key, which no program here needs: keep it elsewhere or delete it
    server.pem, server-key.pem     of both services
    client.pem, client-key.pem     for clients, where services ask for a certificate
    internal.pem, internal-key.pem  the same for the orchestrator and the health checks
    tokens.toml                    hashes of the tokens, scopes and quotas, for both services
    NAME.token                     the token of client NAME

The folder is open to its owner alone. Files that containers mount are readable in themselves, because a
service runs there as a user that this machine does not have; all others are readable by the owner alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from pixelprobe_deploy.secrets.certificates import Authority, Issued

ORCHESTRATOR = "orchestrator"
OWN_HOSTS = ("localhost", "127.0.0.1", "::1", "segmentation", ORCHESTRATOR)
"""Names in every server certificate: this machine's, and those of the services within the stack."""

MOUNTED = frozenset(
    ("ca.pem", "server.pem", "server-key.pem", "internal.pem", "internal-key.pem", "tokens.toml")
) | {f"{ORCHESTRATOR}.token"}


class FolderError(Exception):
    """The folder cannot be made; one line."""


def make(folder: Path, hosts: Sequence[str], clients: Mapping[str, Sequence[str]], days: int) -> list[str]:
    """Make the folder with everything in it; existing files are never replaced.

    Args:
        folder: must not exist, or be empty.
        hosts: further names and addresses of the services.
        clients: scopes by the client's name; the orchestrator's own is added.
        days: that the certificates are valid.

    Returns:
        The files' names.

    Raises:
        FolderError: there is something in it, or it cannot be written.
    """
    files = _certificates(tuple(dict.fromkeys((*OWN_HOSTS, *hosts))), days)
    all_clients = {**clients, ORCHESTRATOR: ("read", "attack")}
    tokens = {name: secrets.token_urlsafe(32) for name in all_clients}
    files["tokens.toml"] = _tokens_file(all_clients, tokens).encode()
    files.update({f"{name}.token": f"{token}\n".encode() for name, token in tokens.items()})
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FolderError(f"{folder}: is not empty; nothing is replaced, so give another folder")
        folder.chmod(0o700)
        for name, content in files.items():
            _write(folder / name, content, 0o644 if name in MOUNTED else 0o600)
    except OSError as error:
        raise FolderError(f"{error.filename or folder}: {error.strerror or error}") from error
    return sorted(files)


def _certificates(hosts: Sequence[str], days: int) -> dict[str, bytes]:
    authority = Authority("pixelprobe authority", days)
    issued: dict[str, Issued] = {
        "ca": authority.issued,
        "server": authority.server(hosts),
        "client": authority.client("pixelprobe-client"),
        "internal": authority.client("pixelprobe-internal"),
    }
    return {f"{name}.pem": one.certificate for name, one in issued.items()} | {
        f"{name}-key.pem": one.key for name, one in issued.items()
    }


def _tokens_file(clients: Mapping[str, Sequence[str]], tokens: Mapping[str, str]) -> str:
    tables = ["# Who may call the services. Restart them after a change.\n"]
    for name, scopes in clients.items():
        digest = hashlib.sha256(tokens[name].encode()).hexdigest()
        listed = ", ".join(f'"{scope}"' for scope in scopes)
        tables.append(f'[clients."{name}"]\ntoken_sha256 = "{digest}"\nscopes = [{listed}]\n')
    return "\n".join(tables)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, which has its mode from the first moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
