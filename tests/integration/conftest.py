"""A segmentation service and an orchestrator on top of the session's real Triton."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from tests import processes
from tests.integration.asking import write_targets


@pytest.fixture(scope="session")
def segmentation_address() -> Iterator[str]:
    with processes.segmentation() as running:
        yield running.address


@pytest.fixture(scope="session")
def targets_file(local_triton: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three classifiers, and one of them asked in whole images."""
    return write_targets(tmp_path_factory.mktemp("targets") / "targets.toml", local_triton["grpc"])


@pytest.fixture(scope="session")
def orchestrator_address(targets_file: Path, segmentation_address: str) -> Iterator[str]:
    with processes.orchestrator(targets_file, segmentation_address) as running:
        yield running.address


@pytest.fixture
def client(orchestrator_address: str, segmentation_address: str) -> Iterator[PixelprobeClient]:
    with PixelprobeClient(Addresses(orchestrator_address, segmentation_address)) as opened:
        yield opened
