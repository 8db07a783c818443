"""The targets file: which models may be attacked, where they are, and how they are asked.

The file is TOML and belongs to the orchestrator's operator. Secrets stay out of it: a header's value is read
from a file or an environment variable, and is never shown or logged.
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.common.peers import PeerError, check_pair
from pixelprobe_services.common.toml import FileError, read_toml
from pixelprobe_services.common.validation import check, shown
from pixelprobe_services.kserve.endpoint import Endpoint
from pixelprobe_services.orchestrator.targets.adapter import PRESETS, Preprocessing
from pixelprobe_services.orchestrator.targets.answers import SUM_TOLERANCE, Activation, OutputKind
from pixelprobe_services.orchestrator.targets.base import RateLimits
from pixelprobe_services.orchestrator.targets.table import (
    RequestTable,
    ResponseTable,
    TargetsFile,
    TargetTable,
)

KSERVE = ("kserve-grpc", "kserve-http")
REST = ("tensorflow-serving", "torchserve", "huggingface", "json")
PROTOCOLS = (*KSERVE, *REST, "python")
PLUGINS = "pixelprobe.targets"
"""Entry point group of other packages' protocols: a callable from a TargetConfig to a Target."""

DEFAULT_BATCH = 400

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HOST_PORT = r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})"
_GRPC_ADDRESS = re.compile(rf"(dns:///)?{_HOST_PORT}")
_HTTP_ADDRESS = re.compile(rf"{_HOST_PORT}(/[A-Za-z0-9._~/-]*)?")
_HEADER_NAME = re.compile(r"(?!grpc-)[a-z0-9][a-z0-9_.-]*(?<!-bin)")

_ONLY_FOR = {
    "input": KSERVE,
    "output": (*KSERVE, "tensorflow-serving"),
    "output_labels": KSERVE,
    "request": REST,
    "response": ("json",),
    "callable": ("python",),
    "python": ("python",),
}


class RegistryError(ServiceError):
    """The targets file cannot be used; the message is one line that names the file, the key and the cure."""

    reason = "TARGETS_FILE_INVALID"


@dataclass(frozen=True)
class TargetConfig:
    """One ``[targets.NAME]`` table, checked, its files read.

    Attributes:
        protocol: one of PROTOCOLS, or a plugin's name.
        address: ``host:port``; over HTTP a path prefix may follow. Empty for a Python callable.
        model: its name on that server.
        labels: one a class in index order, or empty where unknown.
        classes: how many there are, where neither the server nor the labels say.
        max_batch: most queries in one request.
        fixed_batch: requests carry exactly ``max_batch`` images, filled up with copies of the last.
        max_in_flight: most requests at a time.
        timeout_seconds: deadline of one request.
        sparse: "auto" uses sparse queries where the server offers them.
        tls_ca: certificates (PEM text) of the authorities to trust; None trusts the system's.
        tls_cert: file of the client's certificate (PEM), with ``tls_key``, for a server that asks for one.
        headers: (name, secret value) pairs that go with every request.
        input, output, output_labels: names of the model's tensors; None where there is only one.
        steps: what happens to an image before the model; None for the house contract or the protocol's own.
        size: (width, height) of the attacked image where it is not the model's.
        model_size: (width, height) of the model's, where the server does not say.
        top_k: how many classes an answer lists.
        deterministic: whether equal queries give equal answers. None where the operator does not say: then
            only models whose weights' hash is known (those that this project's model builder served) are
            taken to be, and others are asked again about the clean image and each success.
        folder: of the targets file, for paths in it.
    """

    name: str
    protocol: str
    address: str
    model: str
    labels: tuple[str, ...] = ()
    classes: int | None = None
    max_batch: int = DEFAULT_BATCH
    fixed_batch: bool = False
    max_in_flight: int = 3
    timeout_seconds: float = 60.0
    sparse: str = "auto"
    tls: bool = False
    tls_ca: str | None = field(default=None, repr=False)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    input: str | None = None
    output: str | None = None
    output_labels: str | None = None
    steps: Preprocessing | None = None
    size: tuple[int, int] | None = None
    model_size: tuple[int, int] | None = None
    output_kind: OutputKind = "probabilities"
    activation: Activation = "softmax"
    sum_tolerance: float = SUM_TOLERANCE
    top_k: int | None = None
    request: RequestTable = field(default_factory=RequestTable)
    response: ResponseTable = field(default_factory=ResponseTable)
    callable: str = ""
    python: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    limits: RateLimits = field(default_factory=RateLimits)
    deterministic: bool | None = None
    cost_per_1000_queries: float | None = None
    load_test: bool = False
    folder: Path = field(default=Path(), compare=False)

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
        tables = check(TargetsFile, read_toml(path), path).targets
    except FileError as error:
        raise RegistryError(str(error)) from error
    if not tables:
        raise RegistryError(f"{path}: targets: expected at least one [targets.NAME] table")
    return {name: _Reader(path, name, table).config() for name, table in tables.items()}


class _Reader:
    """Checks what keys of one table mean together, and reads the files that it names."""

    def __init__(self, path: Path, name: str, table: TargetTable) -> None:
        self._path = path
        self._name = name
        self._table = table
        if not _NAME.fullmatch(name):
            raise RegistryError(
                f"{path}: targets.{name!r}: expected a name of letters, digits, '_', '.' and '-', at most 128"
            )

    def config(self) -> TargetConfig:
        table = self._table
        self._check_protocol()
        certificate, key = self._own_certificate()
        labels = self._labels()
        max_batch, fixed = self._batch()
        preset = PRESETS[table.preset] if table.preset else {}
        kind = table.output_kind or preset.get("output_kind", "probabilities")
        if table.top_k is not None and kind in ("labels", "logits"):
            raise self.error("top_k", f'expected none with output_kind = "{kind}"')
        if table.classes is not None and labels and len(labels) != table.classes:
            raise self.error("classes", f"expected {len(labels)}, one a label, got {table.classes}")
        return TargetConfig(
            name=self._name,
            protocol=table.protocol,
            address=table.address or "",
            model=table.model or self._name,
            labels=labels,
            classes=table.classes,
            max_batch=max_batch,
            fixed_batch=fixed,
            max_in_flight=table.max_in_flight,
            timeout_seconds=table.timeout_seconds,
            sparse=table.sparse,
            tls=table.tls,
            tls_ca=self._certificates(),
            tls_cert=certificate,
            tls_key=key,
            headers=self._headers(),
            input=table.input,
            output=table.output,
            output_labels=table.output_labels,
            steps=self._steps(preset),
            size=table.size,
            model_size=table.model_size,
            output_kind=kind,
            activation=table.activation or "softmax",
            sum_tolerance=table.sum_tolerance or SUM_TOLERANCE,
            top_k=table.top_k,
            request=table.request or RequestTable(),
            response=table.response or ResponseTable(),
            callable=table.callable or "",
            python=table.python or "",
            options=table.options or {},
            limits=RateLimits(
                table.max_queries_per_second, table.max_requests_per_second, table.daily_queries
            ),
            deterministic=table.deterministic,
            cost_per_1000_queries=table.cost_per_1000_queries,
            load_test=table.load_test,
            folder=self._path.parent,
        )

    def error(self, key: str, problem: str) -> RegistryError:
        return RegistryError(f"{self._path}: targets.{self._name}.{key}: {problem}")

    def _check_protocol(self) -> None:
        table = self._table
        if table.protocol not in PROTOCOLS:
            plugins = sorted({found.name for found in entry_points(group=PLUGINS)})
            if table.protocol not in plugins:
                known = (*PROTOCOLS, *plugins)
                close = difflib.get_close_matches(table.protocol[:60], known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise self.error(
                    "protocol", f"expected one of {', '.join(known)}, got {shown(table.protocol)}{hint}"
                )
            return
        for key, protocols in _ONLY_FOR.items():
            if getattr(table, key) is not None and table.protocol not in protocols:
                raise self.error(key, f"expected only with {' or '.join(protocols)}, not {table.protocol}")
        if table.options is not None:
            raise self.error("options", "expected only with a plugin's protocol")
        if table.protocol == "python":
            if table.callable is None:
                raise self.error("callable", 'missing; expected "module:function"')
            return
        self._check_address()
        response = table.response or ResponseTable()
        if table.protocol == "json" and not (response.scores or response.labels):
            raise self.error("response", "expected scores or labels, where the answer holds them (JMESPath)")

    def _check_address(self) -> None:
        table = self._table
        if table.address is None:
            raise self.error("address", 'missing; expected "host:port"')
        pattern = _GRPC_ADDRESS if table.protocol == "kserve-grpc" else _HTTP_ADDRESS
        match = pattern.fullmatch(table.address)
        if match is None or not 1 <= int(match["port"]) <= 65_535:
            raise self.error(
                "address",
                'expected "host:port" without a scheme (tls = true for an encrypted connection),'
                " without a user or a query",
            )

    def _batch(self) -> tuple[int, bool]:
        table = self._table
        if table.batch is None:
            return table.max_batch or DEFAULT_BATCH, False
        if table.max_batch is not None:
            raise self.error("batch", "expected either max_batch or batch, not both")
        return int(str(table.batch).removeprefix("fixed:")), isinstance(table.batch, str)

    def _steps(self, preset: dict[str, Any]) -> Preprocessing | None:
        """The table's keys over the preset's; None where neither says anything."""
        table = self._table
        keys = ("layout", "dtype", "channels", "resize", "scale", "mean", "std")
        given = {key: getattr(table, key) for key in keys if getattr(table, key) is not None}
        known = {key: value for key, value in preset.items() if key in keys}
        if not given and not known:
            return None
        if ("scale" in given or "mean" in given or "std" in given) and "dtype" not in {**known, **given}:
            raise self.error("dtype", "missing; expected beside scale, mean and std: what the model takes")
        steps = Preprocessing(**{**known, **given})
        for key in ("mean", "std"):
            if len(getattr(steps, key)) not in (1, steps.channel_count):
                raise self.error(key, "expected one number for one channel (gray)")
        return steps

    def _labels(self) -> tuple[str, ...]:
        table = self._table
        if table.labels_file is None:
            return table.labels or ()
        if table.labels is not None:
            raise self.error("labels_file", "expected either labels or labels_file, not both")
        lines = self._read("labels_file", table.labels_file).splitlines()
        while lines and not lines[-1].strip():
            lines.pop()
        labels = tuple(line.strip() for line in lines)
        if not labels or not all(labels):
            raise self.error("labels_file", f"expected one label on each line of {table.labels_file}")
        return labels

    def _certificates(self) -> str | None:
        file = self._table.tls_ca
        if file is None:
            return None
        if not self._table.tls:
            raise self.error("tls_ca", "expected tls = true beside it")
        pem = self._read("tls_ca", file)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
        except (ssl.SSLError, ValueError) as error:
            raise self.error("tls_ca", f"expected certificates in PEM form in {file}") from error
        return pem

    def _own_certificate(self) -> tuple[Path | None, Path | None]:
        names = [self._table.tls_cert, self._table.tls_key]
        if not any(names):
            return None, None
        if not self._table.tls or not all(names):
            raise self.error("tls_cert", "expected tls = true and tls_key beside it")
        certificate, key = (self._path.parent / str(name) for name in names)
        try:
            check_pair(certificate, key, "tls_cert", "tls_key")
        except PeerError as error:
            raise self.error("tls_cert", str(error)) from error
        return certificate, key

    def _headers(self) -> tuple[tuple[str, str], ...]:
        headers: dict[str, str] = {}
        files, variables = self._table.headers_files, self._table.headers_env
        for table, sources in (("headers_files", files), ("headers_env", variables)):
            for name, source in sources.items():
                key = f"{table}.{name}"
                if not _HEADER_NAME.fullmatch(name) or name in headers:
                    raise self.error(
                        key,
                        "expected a lower-case header name, once, that neither starts with grpc- nor ends"
                        " in -bin",
                    )
                where = f"in {source}" if table == "headers_files" else "in the environment variable"
                value = self._read(key, source) if table == "headers_files" else self._variable(key, source)
                headers[name] = value.strip()
                if not (headers[name].isascii() and headers[name].isprintable() and headers[name]):
                    raise self.error(key, f"expected one line of printable ASCII {where}")
        return tuple(headers.items())

    def _variable(self, key: str, name: str) -> str:
        value = os.environ.get(name)
        if value is None:
            # The name is not repeated: the secret itself may stand there by mistake.
            raise self.error(key, "expected the name of an environment variable that is set")
        return value

    def _read(self, key: str, file: str) -> str:
        """The text of a file that a key names, relative to the targets file; a byte order mark is ignored."""
        try:
            return (self._path.parent / file).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            why = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or str(error)
            raise self.error(key, f"{file} cannot be read: {why}") from error
