"""The control region through both services: the foreground's size, and one for all attacks on an image."""

from __future__ import annotations

from pixelprobe.api import PixelprobeClient
from pixelprobe.model import Outcome, Region
from pixelprobe_services.common.values import Region as CoreRegion
from pixelprobe_services.common.values import control_seed, image_digest
from pixelprobe_services.orchestrator.core.region import RegionMap
from tests.integration.asking import IMAGES, campaign, edited, pixels_of

SEED = 11


def test_edits_stay_in_one_region_of_the_foregrounds_size(client: PixelprobeClient) -> None:
    attacks = campaign(
        client,
        IMAGES[:2],
        targets=("allconv_cifar10", "whole"),
        regions=(Region.FOREGROUND, Region.CONTROL),
        pixel_counts=(1, 5),
        seed=SEED,
    )
    assert len(attacks) == 2 * 2 * 2 * 2
    areas = {(a.image_index, a.region): a.result.region_area_fraction for a in attacks if a.result}
    outside_the_foreground = 0
    for attack in attacks:
        result, clean = attack.result, pixels_of(IMAGES[attack.image_index])
        assert result is not None
        assert result.outcome in (Outcome.SUCCESS, Outcome.FAILURE)
        assert result.mask is not None
        assert areas[attack.image_index, Region.CONTROL] == areas[attack.image_index, Region.FOREGROUND]
        if attack.region is Region.CONTROL:
            region = RegionMap.from_mask(
                CoreRegion.CONTROL, result.mask, 32, 32, control_seed(SEED, image_digest(clean))
            )
            changed = (clean != edited(clean, attack)).any(axis=2)
            assert changed.any()
            assert not (changed & ~region.allowed).any()
            outside_the_foreground += int((changed & ~result.mask).sum())
    assert outside_the_foreground
