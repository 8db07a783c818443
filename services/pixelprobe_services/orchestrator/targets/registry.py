"""The targets by name: opened when first asked for, shared by everyone, closed together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pixelprobe_services.common.errors import NotFoundError
from pixelprobe_services.kserve.grpc_client import GrpcClient
from pixelprobe_services.kserve.http_client import HttpClient
from pixelprobe_services.orchestrator.targets.base import Target
from pixelprobe_services.orchestrator.targets.config import RegistryError, TargetConfig, load_targets
from pixelprobe_services.orchestrator.targets.kserve import KServeTarget

__all__ = ["Registry", "RegistryError", "TargetConfig", "load_targets", "open_target"]

_CLIENTS = {"kserve-grpc": GrpcClient, "kserve-http": HttpClient}


def open_target(config: TargetConfig) -> Target:
    """The target that a configuration describes. Connects with the first call, not here."""
    return KServeTarget(config, _CLIENTS[config.protocol](config.endpoint))


class Registry:
    """The operator's targets; a client may only name one of them."""

    def __init__(self, configs: Mapping[str, TargetConfig]) -> None:
        self._configs = dict(configs)
        self._open: dict[str, Target] = {}

    @classmethod
    def from_file(cls, path: Path) -> Registry:
        """Raises RegistryError when the file cannot be used."""
        return cls(load_targets(path))

    def names(self) -> tuple[str, ...]:
        """In the file's order."""
        return tuple(self._configs)

    def get(self, name: str) -> Target:
        """The one target of that name, the same object each time.

        Raises:
            NotFoundError: there is none; the message names those there are.
        """
        if name not in self._configs:
            known = ", ".join(self._configs) or "none"
            raise NotFoundError(f"no target is called '{name}'; known are: {known}")
        if name not in self._open:
            self._open[name] = open_target(self._configs[name])
        return self._open[name]

    async def close(self) -> None:
        """Close every target that was opened. Idempotent."""
        for target in self._open.values():
            await target.close()
