"""Specs there and back over the wire, every region by its name on all three sides, and their digest."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixelprobe import api, convert, model
from pixelprobe.api import PixelprobeClient
from pixelprobe_api.attack.v1 import campaign_pb2
from pixelprobe_services.common.wire import spec_from_bytes, spec_from_pb, spec_to_pb
from tests.unit.client.servicer import FaultyServicer
from tests.unit.client.values import NAME

MASK = np.arange(48).reshape(6, 8) % 5 == 0
IMAGES = (model.CampaignImage("d" * 64, "a", 0, MASK), model.CampaignImage("e" * 64))
DIGEST_OF_SMALLEST = "d4836b6caf39070540a70345b2d0bfb8a1413743b8997c3e18ab27dc7e8ad0c0"

SEARCHES = st.builds(
    model.SearchSettings,
    strategy=st.sampled_from(model.Strategy),
    population=st.integers(4, 10_000),
    generations=st.integers(1, 100_000),
    region_mode=st.sampled_from(model.RegionMode),
    early_stop=st.booleans(),
    crossover_rate=st.floats(0, 1),
    mutation_low=st.floats(0, 1),
    mutation_high=st.floats(1, 2),
)
SPECS = st.builds(
    model.CampaignSpec,
    images=st.just(IMAGES),
    targets=st.just(("net", "other")),
    regions=st.lists(st.sampled_from(model.Region), min_size=1, unique=True).map(tuple),
    pixel_counts=st.just((1, 64)),
    goals=st.just((model.Goal(), model.Goal(0), model.Goal(7))),
    search=SEARCHES,
    budget=st.none() | st.integers(1, 2**40),
    seed=st.integers(0, 2**64 - 1),
    display_name=st.text(max_size=5),
    masks=st.builds(model.MaskSettings, st.sampled_from(["", "grabcut"]), accept_unreviewed=st.booleans()),
    attack_misclassified=st.booleans(),
    image_preparation=st.sampled_from(["", "stretched to 224 x 224 ☃"]),
)


@given(SPECS)
def test_the_server_tells_a_spec_as_it_was_asked(spec: model.CampaignSpec) -> None:
    told = convert.spec_of(spec_to_pb(spec_from_pb(spec_to_pb(spec))))
    for field in fields(spec):
        if field.name != "images":
            assert getattr(told, field.name) == getattr(spec, field.name), field.name
    one, other = told.images
    assert (one.digest, one.display_name, one.label) == ("d" * 64, "a", 0)
    assert one.mask is not None
    np.testing.assert_array_equal(one.mask, MASK)
    assert (other.digest, other.display_name, other.label, other.mask) == ("e" * 64, "", None, None)
    assert convert.spec_digest(told) == convert.spec_digest(spec)


def test_regions_have_one_name_everywhere() -> None:
    names = {region.value for region in model.Region}
    wire = {name.removeprefix("REGION_").lower() for name in campaign_pb2.Region.DESCRIPTOR.values_by_name}
    assert names == wire - {"unspecified"}


@given(SPECS)
def test_the_digest_differs_with_whatever_is_asked(spec: model.CampaignSpec) -> None:
    digest = convert.spec_digest(spec)
    for changed in (
        replace(spec, images=IMAGES[:1]),
        replace(spec, seed=spec.seed ^ 1),
        replace(spec, budget=None if spec.budget else 1),
        replace(spec, goals=(model.Goal(),)),
        replace(spec, search=replace(spec.search, early_stop=not spec.search.early_stop)),
    ):
        assert convert.spec_digest(changed) != digest


def test_the_digest_of_a_spec_never_changes() -> None:
    """It names runs: a new version must find the campaigns that an older one started."""
    spec = model.CampaignSpec(images=IMAGES[1:], targets=("net",))
    assert convert.spec_digest(spec) == DIGEST_OF_SMALLEST


def test_times_are_told_in_utc_and_only_if_there_are_any() -> None:
    message = campaign_pb2.Campaign(name=NAME, state=campaign_pb2.CAMPAIGN_STATE_RUNNING)
    assert convert.campaign(message).create_time is None
    created = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    message.create_time.FromDatetime(created)
    told = convert.campaign(message)
    assert (told.create_time, told.end_time) == (created, None)


def test_uploads_are_split_by_number_and_take_an_iterator(
    client: PixelprobeClient, servicer: FaultyServicer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "UPLOAD_IMAGES", 3)
    images = [np.full((6, 8, 3), value, np.uint8) for value in range(7)]
    digests = client.upload_images(image for image in images)
    assert servicer.uploads == [3, 3, 1]
    assert digests == client.upload_images(images)
    assert len(set(digests)) == 7


def test_a_store_of_an_older_version_says_nothing_of_how_images_were_prepared() -> None:
    spec = model.CampaignSpec(images=IMAGES[1:], targets=("net",), image_preparation="stretched")
    message = spec_to_pb(spec)
    assert spec_from_bytes(message.SerializeToString()).image_preparation == "stretched"
    message.ClearField("image_preparation")
    assert spec_from_bytes(message.SerializeToString()).image_preparation == ""
    assert convert.spec_of(message).image_preparation == ""
