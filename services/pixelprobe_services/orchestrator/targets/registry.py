"""The targets by name: opened when first needed, shared by all campaigns, closed together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.kserve.client import Client
from pixelprobe_services.kserve.grpc_client import GrpcClient
from pixelprobe_services.kserve.http_client import HttpClient
from pixelprobe_services.orchestrator.targets.backend import ModelTarget
from pixelprobe_services.orchestrator.targets.base import Target, TargetError
from pixelprobe_services.orchestrator.targets.config import (
    KSERVE,
    PLUGINS,
    REST,
    RegistryError,
    TargetConfig,
    load_targets,
)
from pixelprobe_services.orchestrator.targets.kserve_backend import KServeBackend
from pixelprobe_services.orchestrator.targets.python_backend import PythonBackend
from pixelprobe_services.orchestrator.targets.rest_backend import RestBackend

__all__ = ["Registry", "RegistryError", "TargetConfig", "load_targets", "open_target"]

_log = logging.getLogger(__name__)


def open_target(config: TargetConfig) -> Target:
    """The target that a configuration describes. Connects with the first call, not here.

    Raises:
        TargetError: the plugin of its protocol cannot be loaded.
    """
    if config.protocol in KSERVE:
        return ModelTarget(config, KServeBackend(config, kserve_client(config)))
    if config.protocol in REST:
        return ModelTarget(config, RestBackend(config))
    if config.protocol == "python":
        return ModelTarget(config, PythonBackend(config))
    return _plugin(config)


def kserve_client(config: TargetConfig) -> Client:
    """A client of the KServe server that a configuration names."""
    return (GrpcClient if config.protocol == "kserve-grpc" else HttpClient)(config.endpoint)


def _plugin(config: TargetConfig) -> Target:
    """The target of another package's protocol, entry point group ``pixelprobe.targets``."""
    for found in entry_points(group=PLUGINS, name=config.protocol):
        try:
            target = found.load()(config)
        except Exception as error:  # another package's code may raise anything
            _log.exception("target %s: the plugin %s failed", config.name, found.value)
            raise TargetError(f"target {config.name}: the plugin {found.value} failed: {error}") from error
        if not isinstance(target, Target):
            raise TargetError(f"target {config.name}: the plugin {found.value} did not return a Target")
        return target
    raise TargetError(f"target {config.name}: no plugin provides the protocol '{config.protocol}'")


def _joined(paths: Sequence[Path]) -> dict[str, TargetConfig]:
    configs: dict[str, TargetConfig] = {}
    for path in paths:
        for name, config in load_targets(path).items():
            if name in configs:
                raise RegistryError(f"{path}: targets.{name}: another targets file has a target of this name")
            configs[name] = config
    return configs


class Registry:
    """The operator's targets; a client may only name one of them."""

    def __init__(self, configs: Mapping[str, TargetConfig], files: Sequence[Path] = ()) -> None:
        self._configs = dict(configs)
        self._files = tuple(files)
        self._open: dict[str, Target] = {}

    @classmethod
    def from_file(cls, path: Path) -> Registry:
        """Raises RegistryError when the file cannot be used."""
        return cls.from_files([path])

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> Registry:
        """The targets of several files together.

        Raises:
            RegistryError: a file cannot be used, or two name the same target.
        """
        return cls(_joined(paths), paths)

    def reload(self) -> None:
        """Read the files again; where one cannot be used, keep everything as it is and log why.

        New targets can be used at once, removed ones cannot be named any more. A target that is in use keeps
        its connection and its old configuration until the orchestrator starts again.
        """
        try:
            configs = _joined(self._files)
        except RegistryError as error:
            _log.error("targets are not read again: %s", error.message)
            return
        changed = sorted(
            name
            for name in self._open
            if name in self._configs and configs.get(name, self._configs[name]) != self._configs[name]
        )
        kept = {name: self._configs[name] for name in changed}
        self._configs = {**configs, **kept}
        _log.info("read %d targets again", len(configs))
        if changed:
            _log.warning("in use, so changed only by a restart: %s", ", ".join(changed))

    def names(self) -> tuple[str, ...]:
        """In the file's order."""
        return tuple(self._configs)

    def config(self, name: str) -> TargetConfig:
        """The configuration of that target. Raises as :meth:`get`."""
        if name not in self._configs:
            known = ", ".join(self._configs) or "none"
            raise NotFoundError(f"no target is called '{name}'; known are: {known}")
        return self._configs[name]

    def get(self, name: str) -> Target:
        """The one target of that name, the same object each time.

        Raises:
            NotFoundError: there is none; the message names those there are.
            TargetError: its plugin cannot be loaded.
        """
        config = self.config(name)
        if name not in self._open:
            self._open[name] = open_target(config)
        return self._open[name]

    async def close(self) -> None:
        """Close every target that was opened. Idempotent."""
        for target in self._open.values():
            await target.close()
