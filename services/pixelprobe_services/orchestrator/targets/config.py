"""The targets file: which models may be attacked, where they are, and how gently they are to be asked.

The file is TOML and belongs to the orchestrator's operator; it is read once, at start. Secrets stay out of
it: a header's value is read from a file of its own, and is never shown or logged.
"""

from __future__ import annotations

import re
import ssl
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.common.peers import PeerError, check_pair
from pixelprobe_services.kserve.endpoint import Endpoint

PROTOCOLS = ("kserve-grpc", "kserve-http")
SPARSE = ("auto", "never")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HOST_PORT = r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})"
_ADDRESS = {
    "kserve-grpc": re.compile(rf"(dns:///)?{_HOST_PORT}"),
    "kserve-http": re.compile(rf"{_HOST_PORT}(/[A-Za-z0-9._~/-]*)?"),
}
_HEADER_NAME = re.compile(r"(?!grpc-)[a-z0-9][a-z0-9_.-]*(?<!-bin)")

T = TypeVar("T")


class RegistryError(ServiceError):
    """The targets file cannot be used; the message is one line that names the file, the key and the cure."""

    reason = "TARGETS_FILE_INVALID"


@dataclass(frozen=True)
class TargetConfig:
    """One ``[targets.NAME]`` table, checked.

    Attributes:
        address: ``host:port``; with kserve-http a path prefix may follow.
        model: its name on that server.
        labels: one a class in index order, or empty when nobody told.
        max_batch: most queries in one request.
        max_in_flight: most requests at a time.
        timeout_seconds: deadline of one request.
        sparse: "auto" uses sparse queries where the server offers them.
        tls_ca: certificates (PEM text) of the authorities to trust; None trusts the system's.
        tls_cert: file of the own certificate (PEM), with ``tls_key``, for a server that asks for one.
        headers: (name, secret value) pairs that go with every request.
    """

    name: str
    protocol: str
    address: str
    model: str
    labels: tuple[str, ...] = ()
    max_batch: int = 400
    max_in_flight: int = 3
    timeout_seconds: float = 60.0
    sparse: str = "auto"
    tls: bool = False
    tls_ca: str | None = field(default=None, repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """Where its server is, and how to connect."""
        return Endpoint(
            address=self.address,
            timeout_seconds=self.timeout_seconds,
            tls=self.tls,
            authorities=self.tls_ca,
            certificate=self.tls_cert,
            key=self.tls_key,
            headers=self.headers,
        )


def load_targets(path: Path) -> dict[str, TargetConfig]:
    """Read a targets file, in its order.

    Raises:
        RegistryError: the file, or one it names, cannot be read, is not TOML, or holds something wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"{path}: cannot be read: {_why(error)}") from error
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{path}: not valid TOML: {error}") from error
    top = _Table(path, "", document)
    tables = top.take("targets", _table)
    top.refuse_the_rest()
    if not tables:
        raise RegistryError(f"{path}: targets: expected at least one [targets.NAME] table")
    return {name: _target(path, name, value) for name, value in tables.items()}


def _target(path: Path, name: str, value: Any) -> TargetConfig:
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"{path}: targets.{name!r}: expected a name of letters, digits, '_', '.' and '-', at most 128"
        )
    table = _Table(path, f"targets.{name}", value)
    protocol = table.take("protocol", _one_of(PROTOCOLS))
    tls = table.take("tls", _boolean, False)
    config = TargetConfig(
        name=name,
        protocol=protocol,
        address=table.take("address", _address(protocol)),
        model=table.take("model", _text, name),
        labels=_labels(table),
        max_batch=table.take("max_batch", _integer(1, 100_000), TargetConfig.max_batch),
        max_in_flight=table.take("max_in_flight", _integer(1, 1_000), TargetConfig.max_in_flight),
        timeout_seconds=table.take("timeout_seconds", _seconds, TargetConfig.timeout_seconds),
        sparse=table.take("sparse", _one_of(SPARSE), TargetConfig.sparse),
        tls=tls,
        tls_ca=_certificates(table, tls),
        headers=_headers(table),
    )
    certificate, key = _own_certificate(table, tls)
    table.refuse_the_rest()
    return replace(config, tls_cert=certificate, tls_key=key)


def _labels(table: _Table) -> tuple[str, ...]:
    listed = table.take("labels", _texts, None)
    file = table.take("labels_file", _text, None)
    if file is None:
        return listed or ()
    if listed is not None:
        raise table.error("labels_file", "expected either labels or labels_file, not both")
    lines = table.read("labels_file", file).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    labels = tuple(line.strip() for line in lines)
    if not labels or not all(labels):
        raise table.error("labels_file", f"expected one label on each line of {file}")
    return labels


def _certificates(table: _Table, tls: bool) -> str | None:
    file = table.take("tls_ca", _text, None)
    if file is None:
        return None
    if not tls:
        raise table.error("tls_ca", "expected tls = true beside it")
    pem = table.read("tls_ca", file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise table.error("tls_ca", f"expected certificates in PEM form in {file}") from error
    return pem


def _own_certificate(table: _Table, tls: bool) -> tuple[Path | None, Path | None]:
    names = [table.take("tls_cert", _text, None), table.take("tls_key", _text, None)]
    if not any(names):
        return None, None
    if not tls or not all(names):
        raise table.error("tls_cert", "expected tls = true and tls_key beside it")
    certificate, key = (table.path.parent / str(name) for name in names)
    try:
        check_pair(certificate, key, "tls_cert", "tls_key")
    except PeerError as error:
        raise table.error("tls_cert", str(error)) from error
    return certificate, key


def _headers(table: _Table) -> tuple[tuple[str, str], ...]:
    headers = []
    for name, file in table.take("headers_files", _table, {}).items():
        key = f"headers_files.{name}"
        if not _HEADER_NAME.fullmatch(name):
            raise table.error(
                key, "expected a lower-case header name that neither starts with grpc- nor ends in -bin"
            )
        if not isinstance(file, str) or not file:
            raise table.error(key, "expected the path of the file that holds the header's value")
        value = table.read(key, file).strip()
        if not (value and value.isascii() and value.isprintable()):
            raise table.error(key, f"expected one line of printable ASCII in {file}")
        headers.append((name, value))
    return tuple(headers)


class _WrongValueError(Exception):
    """What was expected instead."""


class _Table:
    """A TOML table that is emptied key by key, so that what is left over is unknown."""

    def __init__(self, path: Path, where: str, value: Any) -> None:
        self.path = path
        self._where = where
        if not isinstance(value, dict):
            raise RegistryError(f"{path}: {where}: expected a table, got {value!r}")
        self._left = dict(value)
        self._known: list[str] = []

    def take(self, key: str, check: Callable[[Any], T], *default: Any) -> T:
        """The checked value of a key, or the default; without a default the key is required."""
        self._known.append(key)
        if key not in self._left:
            if not default:
                raise self.error(key, "expected, but missing")
            value: T = default[0]
            return value
        value = self._left.pop(key)
        try:
            return check(value)
        except _WrongValueError as expected:
            raise self.error(key, f"expected {expected}, got {value!r}") from None

    def read(self, key: str, file: str) -> str:
        """The text of a file that a key names, relative to the targets file."""
        try:
            return (self.path.parent / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise self.error(key, f"{file} cannot be read: {_why(error)}") from error

    def error(self, key: str, problem: str) -> RegistryError:
        where = f"{self._where}.{key}" if self._where else key
        return RegistryError(f"{self.path}: {where}: {problem}")

    def refuse_the_rest(self) -> None:
        for key in self._left:
            raise self.error(key, f"unknown key; known are {', '.join(self._known)}")


def _why(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _WrongValueError("a table")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _WrongValueError("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise _WrongValueError("a list of texts")
    return tuple(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongValueError("true or false")
    return value


def _integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _WrongValueError(f"an integer from {low} to {high}")
        return value

    return check


def _seconds(value: Any) -> float:
    # Written so that NaN, too, is refused.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 86_400:
        raise _WrongValueError("seconds, more than 0 and at most 86400")
    return float(value)


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise _WrongValueError(" or ".join(f'"{choice}"' for choice in choices))
        return str(value)

    return check


def _address(protocol: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        match = _ADDRESS[protocol].fullmatch(value) if isinstance(value, str) else None
        if match is None or not 1 <= int(match["port"]) <= 65_535:
            raise _WrongValueError('"host:port" without a scheme (tls = true for an encrypted connection)')
        return str(value)

    return check
