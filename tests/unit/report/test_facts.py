"""How images were sized is among a report's facts, for readers and for programs."""

from __future__ import annotations

from pixelprobe.report.page.facts import as_json, campaign_facts
from tests.unit.report.reports import NOW, material, reported


def test_how_images_were_sized_is_stated() -> None:
    stretched = reported(image_preparation="as they are where 224 x 224, else stretched to that")
    assert dict(campaign_facts(stretched))["images' size"].endswith("else stretched to that")
    told = as_json(material([], campaigns=(stretched,)), NOW)
    assert told["campaigns"][0]["spec"]["image_preparation"] == stretched.spec.image_preparation


def test_a_campaign_that_does_not_tell_is_said_not_to() -> None:
    assert dict(campaign_facts(reported()))["images' size"] == "not known"
