"""Runs on a server: started once, found by name, watched through an absence, probed for their rate."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pixelprobe.api import PixelprobeClient
from pixelprobe.campaigns import rate as probe
from pixelprobe.campaigns.deletion import campaigns_to_delete
from pixelprobe.campaigns.runs import find_campaigns, make_run, run_label, start_run
from pixelprobe.cli import campaign_watch
from pixelprobe.cli.campaign_watch import Pace, duration, follow
from pixelprobe.model import AttackFinished, AttackProgress, Campaign, CampaignImage, CampaignState, Event
from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_services.common.errors import FailedPreconditionError, NotFoundError, UnavailableError
from tests.unit.client.servicer import CampaignServicer, serving
from tests.unit.client.test_spec_resolve import IMAGES, SPEC, TARGETS
from tests.unit.client.values import TARGET, make_attack

RUN = make_run(SPEC, IMAGES, TARGETS)
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
RUNNING = campaign_pb2.CAMPAIGN_STATE_RUNNING
SUCCEEDED = campaign_pb2.CAMPAIGN_STATE_SUCCEEDED
CANCELLED = campaign_pb2.CAMPAIGN_STATE_CANCELLED


@pytest.fixture
def servicer() -> CampaignServicer:
    return CampaignServicer()


@pytest.fixture
def client(servicer: CampaignServicer) -> Iterator[PixelprobeClient]:
    with serving(servicer) as addresses, PixelprobeClient(addresses) as opened:
        yield opened


def test_a_run_is_started_once_and_taken_up_where_it_is(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    first = start_run(client, RUN)
    assert [item.how for item in first] == ["created", "created"]
    assert [item.campaign.display_name for item in first] == [f"{RUN.label}/first", f"{RUN.label}/second"]
    one, other = servicer.made.values()
    one.state, other.state = SUCCEEDED, CANCELLED
    again = start_run(client, RUN)
    assert [item.how for item in again] == ["there", "resumed"]
    assert [item.campaign.name for item in again] == [item.campaign.name for item in first]
    assert servicer.resumed == [other.name]
    assert len(servicer.made) == 2


def test_a_run_of_which_only_a_part_was_created_is_completed(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    client.create_campaign(RUN.campaigns[0].spec, RUN.campaigns[0].request_id)
    assert [item.how for item in start_run(client, RUN)] == ["there", "created"]


def test_campaigns_are_found_by_any_of_their_names(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    older = make_run(replace(SPEC, seed=99), IMAGES, TARGETS)
    single = make_run(
        replace(SPEC, name="single", groups=(replace(SPEC.groups[0], name=""),)), IMAGES, TARGETS
    )
    for run in (older, single, RUN):
        start_run(client, run)
    client.create_campaign(replace(RUN.campaigns[0].spec, display_name="pixelprobe attack"), "x")

    def names(text: str) -> list[str]:
        return [campaign.display_name for campaign in find_campaigns(client, text)]

    both = [f"{RUN.label}/first", f"{RUN.label}/second"]
    assert names("mine") == names(RUN.label) == both
    assert names("mine/second") == names(both[1]) == [both[1]]
    assert names(older.label) == [f"{older.label}/first", f"{older.label}/second"]
    assert names(f"{older.label}/first") == [f"{older.label}/first"]
    assert names("single") == [single.label]
    assert names("campaigns/005") == names("005") == ["pixelprobe attack"]
    for nobody in ("min", "mine/third", f"{RUN.label}0", "campaigns/9", "9", "pixelprobe", "/", ""):
        with pytest.raises(NotFoundError, match=r"you have no campaign or run called .*campaign list"):
            find_campaigns(client, nobody)


def test_another_clients_run_of_the_same_name_is_found_by_its_ids_alone(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    start_run(client, RUN)
    for made in servicer.made.values():
        made.owner = "eve"
    servicer.caller = "alice"
    for name in (RUN.label, "mine", "mine/first"):
        with pytest.raises(NotFoundError, match=r"you have no campaign .* by its id"):
            find_campaigns(client, name)
    (found,) = find_campaigns(client, "campaigns/001")
    assert found.owner == "eve"
    servicer.caller = "eve"
    assert len(find_campaigns(client, "mine")) == 2


def campaign(name: str = "a", **changes: Any) -> Campaign:
    plain = Campaign(name, name, CampaignState.RUNNING, "", 1000, 0, 0, 0, 0)
    return replace(plain, **changes)


def test_the_run_in_a_campaigns_name() -> None:
    assert run_label(campaign("n@t/g")) == run_label(campaign("n@t")) == "n@t"
    assert run_label(campaign("pixelprobe attack")) == "pixelprobe attack"


def test_time_left_goes_by_the_last_minutes_rate() -> None:
    now = 0.0
    pace = Pace({"a": 40.0, "b": 10.0}, lambda: now)
    b = campaign("b", attacks_total=100)
    assert pace.update([campaign(), b]) == (0.0, None)
    now = 10.0
    # 990 x 40 expected ones of a and 100 x 10 of b
    rate, left = pace.update([campaign(attacks_finished=10, queries_sent=2000), b])
    assert rate == 200.0
    assert left == pytest.approx((990 * 40 + 100 * 10) / 200)
    now = 20.0
    # enough attacks have finished for their own mean, 50
    rate, left = pace.update([campaign(attacks_finished=100, queries_sent=5000), b])
    assert rate == 250.0
    assert left == pytest.approx((900 * 50 + 100 * 10) / 250)
    now = 80.0
    # what was before the last minute does not count
    rate, _ = pace.update([campaign(attacks_finished=100, queries_sent=5600), b])
    assert rate == pytest.approx(600 / 60)
    ended = campaign(state=CampaignState.CANCELLED)
    assert pace.update([ended, replace(b, state=CampaignState.SUCCEEDED)])[1] == 0.0


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (3600, "1 h 00 min"),
     (7_325, "2 h 02 min"), (86_400, "1 d 0 h"), (1e7, "115 d 17 h")],
)  # fmt: skip
def test_durations_are_told_to_two_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


class Time:
    """Sleeping passes the time at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def follow_all(client: PixelprobeClient, time: Time, **settings: Any) -> tuple[list[Campaign], str]:
    out = io.StringIO()
    console = Console(file=out, width=120, **settings)
    found = [item.campaign for item in start_run(client, RUN)]
    return follow(client, found, console, time, time.sleep), out.getvalue()


def running(servicer: CampaignServicer, client: PixelprobeClient, total: int) -> None:
    start_run(client, RUN)
    for made in servicer.made.values():
        made.state = RUNNING
        made.progress.attacks_total = total


def test_following_ends_with_the_last_campaign_and_prints_a_line_every_ten_seconds(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    running(servicer, client, 400)
    servicer.steps = 2
    ended, out = follow_all(client, Time())
    assert [item.state for item in ended] == [CampaignState.SUCCEEDED] * 2
    lines = out.splitlines()
    assert len(lines) == 19  # 200 looks, a second each
    assert " of 800 attacks · " in lines[0]
    assert "400/s · about " in lines[0]
    assert " left" in lines[0]


def test_on_a_terminal_there_are_bars(client: PixelprobeClient, servicer: CampaignServicer) -> None:
    running(servicer, client, 6)
    servicer.steps = 3
    _, out = follow_all(client, Time(), force_terminal=True)
    assert f"{RUN.label}/first" in out
    assert "12 of 12 attacks · 1,200 queries" in ANSI.sub("", out)


def change_looks(client: PixelprobeClient, change: Callable[[int, Campaign], Campaign]) -> None:
    """``change`` gets the number of each look at a campaign, from 1, and what it would have shown."""
    original, looks = client.get_campaign, count(1)
    client.get_campaign = lambda name: change(next(looks), original(name))  # type: ignore[method-assign]


def test_an_orchestrator_that_is_started_again_is_waited_for(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    running(servicer, client, 4)
    servicer.steps = 1

    def away(look: int, seen: Campaign) -> Campaign:
        if 2 <= look < 9:
            raise UnavailableError("away")
        return seen

    change_looks(client, away)
    ended, _ = follow_all(client, Time())
    assert all(item.ended for item in ended)

    def gone(name: str) -> Campaign:
        raise UnavailableError("gone for good")

    for made in servicer.made.values():
        made.state, made.progress.attacks_finished = RUNNING, 0
    client.get_campaign = gone  # type: ignore[method-assign]
    time = Time()
    with pytest.raises(UnavailableError, match="gone for good"):
        follow_all(client, time)
    assert campaign_watch.PATIENCE_SECONDS < time.now < campaign_watch.PATIENCE_SECONDS + 5


def test_a_pause_that_passes_by_itself_is_waited_for_and_told(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    running(servicer, client, 4)
    servicer.steps = 1

    def stalled(look: int, seen: Campaign) -> Campaign:
        if look < 150:  # two looks a second, so past the line that is printed after a minute
            return replace(seen, state=CampaignState.WAITING, state_reason="nobody answers", waits=True)
        return seen

    change_looks(client, stalled)
    ended, out = follow_all(client, Time())
    assert [item.state for item in ended] == [CampaignState.SUCCEEDED] * 2
    assert "waiting until this has passed: nobody answers" in " ".join(out.split())
    assert campaign(state=CampaignState.PAUSED).ended


class Probed:
    """A client whose server answers 500 queries a second, or never."""

    def __init__(self, time: Time, answers: bool) -> None:
        self.time = time
        self.answers = answers
        self.cancelled: list[str] = []
        self.targets: tuple[str, ...] = ()
        self.most_queries = 0
        self.deleted = False

    def upload_images(self, images: list[Any]) -> list[str]:
        return [f"{image.sum():064d}" for image in images]

    def create_campaign(self, spec: Any) -> Campaign:
        self.targets, self.most_queries = spec.targets, spec.budget * spec.attack_count
        assert spec.display_name == probe.PROBE_NAME
        assert all(isinstance(image, CampaignImage) for image in spec.images)
        return campaign("campaigns/p")

    def cancel_campaign(self, name: str) -> Campaign:
        self.cancelled.append(name)
        return campaign(name, attacks_finished=1000)

    def delete_campaign(self, name: str) -> None:
        assert self.cancelled == [name]
        self.deleted = True

    def watch_campaign(self, name: str) -> Iterator[Event]:
        self.time.now += 3.0  # queries are on their way
        sent = 0
        while self.answers:
            sent += 100
            for attack in (0, 1):
                yield AttackProgress(0, f"campaigns/p/attacks/{attack}", 1, 0.5, sent)
            self.time.now += 0.4
        yield AttackFinished(1, make_attack(None))


@pytest.mark.parametrize("answers", [True, False])
def test_the_rate_is_that_of_the_answers_and_the_probe_is_cancelled(answers: bool) -> None:
    time = Time()
    probed = Probed(time, answers)
    images = [np.full((6, 8, 3), value, np.uint8) for value in (1, 2)]
    rate = probe.measure_rate(probed, images, [TARGET], 10_000, time)  # type: ignore[arg-type]
    assert rate == (pytest.approx(500, rel=0.1) if answers else None)
    assert probed.cancelled == ["campaigns/p"]
    assert probed.deleted
    assert probed.targets == ("net",)


@pytest.mark.parametrize("most", [1, 2, 3, 99, 100, 399, 401, 12_345])
def test_the_rate_never_costs_more_queries_than_asked(most: int) -> None:
    time = Time()
    probed = Probed(time, answers=False)
    images = [np.full((6, 8, 3), value, np.uint8) for value in range(9)]
    targets = [TARGET, replace(TARGET, name="other")]
    assert probe.measure_rate(probed, images, targets, most, time) is None  # type: ignore[arg-type]
    assert probed.most_queries <= most
    assert probed.most_queries >= most // 2


class ColdStart(Probed):
    """Its second target first answers after ten seconds; from then on both answer 500 queries a second."""

    def watch_campaign(self, name: str) -> Iterator[Event]:
        for sent in (100, 200, 300):
            yield AttackProgress(0, f"{name}/attacks/2", 1, 0.5, sent)
            self.time.now += 3.3
        for sent in range(100, 10_000, 100):
            for attack in (1, 3):
                yield AttackProgress(0, f"{name}/attacks/{attack}", 1, 0.5, sent)
            self.time.now += 0.4


def test_the_rate_is_measured_once_every_target_has_answered() -> None:
    time = Time()
    images = [np.full((6, 8, 3), value, np.uint8) for value in (1, 2)]
    targets = [TARGET, replace(TARGET, name="other")]
    rate = probe.measure_rate(ColdStart(time, True), images, targets, 10_000, time)  # type: ignore[arg-type]
    assert rate == pytest.approx(500, rel=0.1)


def test_campaigns_are_chosen_for_deletion_by_name_and_age(
    client: PixelprobeClient, servicer: CampaignServicer
) -> None:
    start_run(client, RUN)
    old, recent = servicer.made.values()
    old.state, recent.state = SUCCEEDED, RUNNING
    old.end_time.FromDatetime(datetime.now(UTC) - timedelta(days=31))

    def chosen(*names: str, **age: int) -> list[str]:
        older_than = timedelta(**age) if age else None
        return [one.name for one in campaigns_to_delete(client, names, older_than)]

    assert chosen(days=30) == [old.name]
    assert chosen(days=32) == []
    assert chosen(RUN.label, days=30) == [old.name]
    assert chosen(old.name, f"{RUN.label}/first") == [old.name]
    with pytest.raises(FailedPreconditionError, match=f"campaign cancel {recent.name}"):
        chosen(old.name, recent.name)
    with pytest.raises(NotFoundError):
        chosen("nothing")
    client.delete_campaign(old.name)
    assert [one.name for one in client.list_campaigns()] == [recent.name]
