"""More idle connections than a service has descriptors: it serves, and its campaign runs to the end."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import attack_service_pb2_grpc as pb_grpc
from pixelprobe_api.attack.v1 import campaign_pb2
from tests import processes
from tests.robustness import servers
from tests.robustness.campaigns import begin
from tests.robustness.http2 import Peer
from tests.unit.targets.fake_grpc import FakeServer

DESCRIPTORS = 1024
IDLE = 1150
KEPT_FREE = 128
SECONDS = 60.0
GROWTH_MIB = 150.0
NOBODY = "127.0.0.1:9"
"""A segmentation service that these campaigns never need."""


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Enough descriptors for this side's ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE + 512
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.fail(f"this test needs {wanted} descriptors, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def target() -> Iterator[tuple[FakeServer, str]]:
    with servers.fake_target() as (fake, address):
        yield fake, address


@pytest.mark.usefixtures("many_sockets")
def test_more_idle_connections_than_descriptors(tmp_path: Path, target: tuple[FakeServer, str]) -> None:
    """Half greet as clients do, half say nothing; a client beside them is served, and so is its campaign."""
    fake, address = target
    fake.delay_seconds = 0.02
    targets, store = servers.write_targets(tmp_path, address), f"sqlite:///{tmp_path / 'store.db'}"
    with (
        processes.orchestrator(targets, NOBODY, "--store", store, descriptors=DESCRIPTORS) as service,
        grpc.insecure_channel(service.address, [("grpc.use_local_subchannel_pool", 1)]) as channel,
        ExitStack() as stack,
    ):
        stub: Any = pb_grpc.AttackServiceStub(channel)
        name = begin(stub, 4, population=20, generations=60)
        held, memory = servers.descriptors(service), servers.memory_mib(service)
        most = 0
        for number in range(IDLE):
            with contextlib.suppress(OSError):  # turned away while it greets
                stack.enter_context(Peer(service.address, greet=bool(number % 2)))
            if number % 50 == 0:
                most = max(most, servers.descriptors(service))
        assert not paused(stub, name)
        assert servers.is_serving(service.address, seconds=SECONDS), "a new client is not served"
        most = max(most, servers.descriptors(service))
        states = watched_to_the_end(stub, name)
        assert states[-1] == "CAMPAIGN_STATE_SUCCEEDED"
        assert not {"CAMPAIGN_STATE_PAUSED", "CAMPAIGN_STATE_WAITING"} & set(states)
        assert most <= DESCRIPTORS - KEPT_FREE
        assert servers.memory_mib(service) - memory < GROWTH_MIB
        give_up = time.monotonic() + SECONDS
        while servers.descriptors(service) > held + KEPT_FREE:  # idle ones are shut, by either side
            assert time.monotonic() < give_up
            time.sleep(0.2)
        assert servers.alarms(service) == []


def paused(stub: Any, name: str) -> bool:
    campaign = stub.GetCampaign(pb.GetCampaignRequest(name=name), timeout=SECONDS).campaign
    return bool(
        campaign.state not in (campaign_pb2.CAMPAIGN_STATE_RUNNING, campaign_pb2.CAMPAIGN_STATE_SUCCEEDED)
    )


def watched_to_the_end(stub: Any, name: str) -> list[str]:
    events = stub.WatchCampaign(pb.WatchCampaignRequest(name=name), timeout=4 * SECONDS)
    return [
        campaign_pb2.CampaignState.Name(event.campaign.state)
        for event in events
        if event.WhichOneof("event") == "campaign"
    ]
