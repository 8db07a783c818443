"""The client's manners with a server that fails: what is retried, what is raised, where a watch goes on."""

from __future__ import annotations

import socket

import grpc
import numpy as np
import pytest

from pixelprobe import api
from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import AttackFinished, AttackProgress, CampaignChanged, CampaignState, Outcome
from pixelprobe.rpc import UnreachableError
from pixelprobe_api.attack.v1 import attack_service_pb2 as pb
from pixelprobe_api.attack.v1 import campaign_pb2, result_pb2
from pixelprobe_services.common.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ServiceError,
    UnavailableError,
)
from pixelprobe_services.common.images import from_array
from tests.unit.client.servicer import FaultyServicer
from tests.unit.client.values import NAME, SPEC

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def progress(sequence: int) -> pb.WatchCampaignResponse:
    return pb.WatchCampaignResponse(
        sequence=sequence, progress=pb.AttackProgress(attack=f"{NAME}/attacks/0", generation=3)
    )


def finished(sequence: int) -> pb.WatchCampaignResponse:
    attack = result_pb2.Attack(
        name=f"{NAME}/attacks/0",
        region=campaign_pb2.REGION_WHOLE,
        goal=campaign_pb2.Goal(untargeted=campaign_pb2.Untargeted()),
        state=result_pb2.ATTACK_STATE_FINISHED,
        result=result_pb2.AttackResult(outcome=result_pb2.OUTCOME_FAILURE),
    )
    return pb.WatchCampaignResponse(sequence=sequence, finished=attack)


def ended(sequence: int) -> pb.WatchCampaignResponse:
    campaign = campaign_pb2.Campaign(name=NAME, state=campaign_pb2.CAMPAIGN_STATE_SUCCEEDED)
    return pb.WatchCampaignResponse(sequence=sequence, campaign=campaign)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgumentError("spec.seed", "is odd"),
        NotFoundError("no such target"),
        AlreadyExistsError("taken"),
        FailedPreconditionError("wrong state", reason="MODEL_MISSING"),
    ],
)
def test_the_servers_exception_arrives_as_it_was_raised(
    client: PixelprobeClient, servicer: FaultyServicer, error: ServiceError
) -> None:
    servicer.faults = [error]
    with pytest.raises(type(error)) as caught:
        client.create_campaign(SPEC)
    assert caught.value.message == error.message
    assert caught.value.reason == error.reason
    assert len(servicer.calls) == 1


def test_safe_calls_are_retried_and_creation_keeps_its_request_id(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    servicer.faults = [UNAVAILABLE, UNAVAILABLE]
    assert client.create_campaign(SPEC).name == NAME
    assert len(servicer.request_ids) == 3
    assert len(set(servicer.request_ids)) == 1
    assert servicer.request_ids[0]


def test_each_creation_has_a_request_id_of_its_own(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    client.create_campaign(SPEC)
    client.create_campaign(SPEC)
    client.create_campaign(SPEC, request_id="mine")
    assert len(set(servicer.request_ids)) == 3
    assert servicer.request_ids[2] == "mine"


def test_retries_are_bounded(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.faults = [UnavailableError("the disk is gone") for _ in range(10)]
    with pytest.raises(UnavailableError, match="the disk is gone") as caught:
        client.list_targets()
    assert not isinstance(caught.value, UnreachableError)
    assert servicer.calls == ["ListTargets"] * 4


def test_resuming_is_not_repeated(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.faults = [UNAVAILABLE]
    with pytest.raises(UnavailableError):
        client.resume_campaign(NAME)
    assert servicer.calls == ["ResumeCampaign"]


def test_nobody_there_names_the_service_and_the_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with PixelprobeClient(Addresses(orchestrator=address, segmentation=address)) as nobody:
        with pytest.raises(UnreachableError, match=f"orchestrator service does not answer at {address}"):
            nobody.list_targets()
        with pytest.raises(UnreachableError, match="segmentation service"):
            nobody.segment(np.zeros((4, 4, 3), np.uint8))


def test_uploads_are_split_by_size_and_survive_a_retry(
    client: PixelprobeClient, servicer: FaultyServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "UPLOAD_BYTES", 500)
    images = [np.full((8, 8, 3), value, np.uint8) for value in range(5)]
    servicer.faults = [UNAVAILABLE]
    digests = client.upload_images(images)
    assert servicer.uploads == [2, 2, 1]
    assert len(set(digests)) == 5


def test_a_image_comes_back_as_it_was_sent(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    servicer.images["d"] = from_array(pixels)
    servicer.faults = [UNAVAILABLE]
    assert np.array_equal(client.get_image("d"), pixels)
    assert servicer.calls == ["GetImage", "GetImage"]


def test_results_are_read_page_by_page(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.attacks = [finished(1).finished for _ in range(5)]
    results = list(client.list_results(NAME))
    assert [attack.result.outcome for attack in results if attack.result] == [Outcome.FAILURE] * 5
    assert servicer.calls == ["ListResults"] * 3


def test_a_watch_goes_on_where_it_was_cut(
    client: PixelprobeClient, servicer: FaultyServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "WATCH_BACKOFF_SECONDS", 0.0)
    servicer.streams = [
        [progress(0), finished(1), progress(1), UNAVAILABLE],
        [UNAVAILABLE],
        [ended(2)],
    ]
    events = list(client.watch_campaign(NAME))
    kinds = [AttackProgress, AttackFinished, AttackProgress, CampaignChanged]
    assert [type(event) for event in events] == kinds
    assert servicer.watched_after == [0, 1, 1]
    assert isinstance(events[-1], CampaignChanged)
    assert events[-1].campaign.state is CampaignState.SUCCEEDED


def test_a_watch_gives_up_after_so_many_failures_in_a_row(
    client: PixelprobeClient, servicer: FaultyServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "WATCH_BACKOFF_SECONDS", 0.0)
    servicer.streams = [[UNAVAILABLE] for _ in range(20)]
    with pytest.raises(UnavailableError):
        list(client.watch_campaign(NAME))
    assert len(servicer.watched_after) == api.WATCH_FAILURES + 1


def test_a_watch_of_a_forgotten_campaign_ends_at_once(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    servicer.faults = [NotFoundError("no such campaign")]
    with pytest.raises(NotFoundError, match="no such campaign"):
        list(client.watch_campaign(NAME))
    assert len(servicer.watched_after) == 1


def test_an_unknown_enum_value_is_a_clear_error(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.campaign.state = 99  # type: ignore[assignment]
    with pytest.raises(ServiceError, match="version of pixelprobe does not know: state: 99"):
        client.get_campaign(NAME)


def test_events_of_a_kind_that_came_later_are_left_out(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    servicer.streams = [[pb.WatchCampaignResponse(sequence=1), ended(2)]]
    assert [event.sequence for event in client.watch_campaign(NAME)] == [2]


def test_a_check_of_a_target_arrives(client: PixelprobeClient) -> None:
    check = client.check_target("net", np.zeros((2, 3, 3), np.uint8))
    assert (check.target.name, check.good, check.queries_sent) == ("net", False, 2)
    assert [(one.name, one.good, one.text) for one in check.findings] == [("scores", False, "logits")]
    assert check.proposed_table == "[targets.net]"
