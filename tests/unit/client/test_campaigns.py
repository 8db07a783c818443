"""A campaign is never left running behind an interruption or an error."""

from __future__ import annotations

import pytest

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns.follow import run_campaign
from pixelprobe.model import CampaignState, Event
from pixelprobe_services.common.errors import FailedPreconditionError
from tests.unit.client.servicer import FaultyServicer
from tests.unit.client.test_api import ended, finished, progress
from tests.unit.client.values import SPEC


def ignore(event: Event) -> None:
    pass


def test_events_arrive_and_results_are_read(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.streams = [[progress(0), finished(1), ended(2)]]
    servicer.attacks = [finished(1).finished]
    events: list[Event] = []
    run = run_campaign(client, SPEC, events.append, pytest.fail)
    assert len(events) == 3
    assert len(run.attacks) == 1
    assert not run.interrupted
    assert "CancelCampaign" not in servicer.calls


def test_ctrl_c_cancels_and_returns_what_there_is(client: PixelprobeClient, servicer: FaultyServicer) -> None:
    servicer.streams = [[progress(0)]]
    servicer.attacks = [finished(1).finished]
    told: list[str] = []

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    run = run_campaign(client, SPEC, interrupt, lambda: told.append("cancelling"))
    assert run.interrupted
    assert run.campaign.state is CampaignState.CANCELLED
    assert len(run.attacks) == 1
    assert told == ["cancelling"]
    assert len(set(servicer.request_ids)) == 1


def test_ctrl_c_while_the_campaign_is_created_finds_it_again(
    client: PixelprobeClient, servicer: FaultyServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = client.create_campaign
    answers = iter([KeyboardInterrupt, None])

    def interrupted_once(*args: object) -> object:
        campaign = create(*args)  # type: ignore[arg-type]
        if next(answers) is KeyboardInterrupt:
            raise KeyboardInterrupt
        return campaign

    monkeypatch.setattr(client, "create_campaign", interrupted_once)
    run = run_campaign(client, SPEC, ignore, lambda: None)
    assert run.interrupted
    assert "CancelCampaign" in servicer.calls
    assert len(set(servicer.request_ids)) == 1


def test_an_error_on_the_way_cancels_and_is_raised(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    servicer.streams = [[progress(0)]]

    def broken(event: Event) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_campaign(client, SPEC, broken, pytest.fail)
    assert servicer.calls[-1] == "CancelCampaign"


def test_the_first_error_wins_over_one_from_tidying_up(
    client: PixelprobeClient, servicer: FaultyServicer
) -> None:
    servicer.streams = [[progress(0)]]

    def broken(event: Event) -> None:
        servicer.faults = [FailedPreconditionError("cannot be cancelled")]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_campaign(client, SPEC, broken, pytest.fail)
    assert servicer.calls[-1] == "CancelCampaign"
