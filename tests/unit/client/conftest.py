from __future__ import annotations

from collections.abc import Iterator

import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from tests.unit.client.servicer import FaultyServicer, serving


@pytest.fixture
def servicer() -> FaultyServicer:
    return FaultyServicer()


@pytest.fixture
def addresses(servicer: FaultyServicer) -> Iterator[Addresses]:
    with serving(servicer) as found:
        yield found


@pytest.fixture
def client(addresses: Addresses) -> Iterator[PixelprobeClient]:
    with PixelprobeClient(addresses) as opened:
        yield opened
