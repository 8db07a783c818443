"""Both services for the whole folder, and proof at the end that nothing went wrong unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.robustness import servers
from tests.robustness.servers import Services
from tests.unit.targets.conftest import grpc_stage, http_stage

__all__ = ["grpc_stage", "http_stage", "services"]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Real servers of a module; after its tests they still run, and their logs hold no traceback."""
    with servers.services(tmp_path_factory.mktemp("services")) as running:
        yield running
        for service in running.each():
            assert service.process.poll() is None
            assert servers.is_serving(service.address)
            assert servers.alarms(service) == []
