"""One trace from a client's command down to Triton, as a collector receives it from three programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from pixelprobe.model import SearchSettings
from pixelprobe.tracing import traced_command
from tests import processes
from tests.collector import SentSpan, collecting
from tests.integration.asking import IMAGES, campaign

CREATE = "pixelprobe.attack.v1.AttackService/CreateCampaign"
SEGMENT = "pixelprobe.segmentation.v1.SegmentationService/Segment"
CLIENT, ORCHESTRATOR, SEGMENTATION = (
    f"pixelprobe-{name}" for name in ("client", "orchestrator", "segmentation")
)


def test_a_campaign_is_one_trace_over_all_programs(
    targets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        assert "OTEL_TRACES_SAMPLER" not in os.environ
        with (
            processes.segmentation() as segmentation,
            processes.orchestrator(targets_file, segmentation.address) as orchestrator,
        ):
            with (
                traced_command("test"),
                PixelprobeClient(Addresses(orchestrator.address, segmentation.address)) as client,
            ):
                attacks = campaign(client, IMAGES[:2], search=SearchSettings(population=40, generations=1))
            assert orchestrator.terminate() == 0  # what is left is sent before the end
            assert segmentation.terminate() == 0
        spans = collector.by_id()

    def under(span: SentSpan) -> list[tuple[str, str]]:
        """Program and name of the span and of all above it."""
        path = []
        while True:
            path.append((span.program, span.name))
            if not span.parent:
                return path
            span = spans[span.parent]

    def named(name: str, program: str) -> list[SentSpan]:
        return [span for span in spans.values() if (span.name, span.program) == (name, program)]

    (command,) = named("pixelprobe test", CLIENT)
    top = [(ORCHESTRATOR, CREATE), (CLIENT, CREATE), (CLIENT, "pixelprobe test")]
    attack_spans = named("attack", ORCHESTRATOR)
    assert {span.attributes["pixelprobe.attack"] for span in attack_spans} == set(range(len(attacks)))
    for span in attack_spans:
        result = attacks[span.attributes["pixelprobe.attack"]].result
        assert result is not None
        assert under(span)[1:] == top
        assert span.attributes["pixelprobe.outcome"] == result.outcome.value
        assert span.attributes["pixelprobe.queries"] == result.queries_sent
    requests = named("target request", ORCHESTRATOR)
    for span in requests:
        assert under(span)[1:] == [(ORCHESTRATOR, "attack"), *top]
        assert {spans[link].name for link in span.links} <= {"attack"}
    sent = sum(attack.result.queries_sent for attack in attacks if attack.result)
    assert sum(span.attributes["pixelprobe.queries"] for span in requests) == sent
    assert len(requests) < sent / 5  # a request is a span, a query is none
    masks = named(SEGMENT, SEGMENTATION)
    assert len(masks) == 2
    for span in masks:
        assert under(span)[1:] == [(ORCHESTRATOR, "mask request"), (ORCHESTRATOR, "attack"), *top]
    assert {span.trace for span in [*attack_spans, *requests, *masks]} == {command.trace}
    assert not [span for span in spans.values() if "health" in span.name.lower()]
