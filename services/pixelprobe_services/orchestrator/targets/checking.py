"""What ``pixelprobe targets check`` finds out about one target, with a handful of queries."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pixelprobe_services.common.values import Pixels
from pixelprobe_services.kserve.errors import CallError
from pixelprobe_services.orchestrator.targets.adapter import PRESETS, Preprocessing, resized
from pixelprobe_services.orchestrator.targets.base import (
    QueryBatch,
    Scores,
    Target,
    TargetError,
    TargetInfo,
    TargetUnavailableError,
)
from pixelprobe_services.orchestrator.targets.config import KSERVE, TargetConfig
from pixelprobe_services.orchestrator.targets.kserve_backend import proposed_keys
from pixelprobe_services.orchestrator.targets.registry import kserve_client, open_target

REPEATS = 5
_KINDS: tuple[dict[str, str], ...] = (
    {},
    {"output_kind": "percent"},
    {"output_kind": "log_probabilities"},
    {"activation": "sigmoid"},
    {"output_kind": "logits"},
    {"output_kind": "labels"},
)
"""What an output may be, from the most to the least demanding: the first that fits is proposed."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``good`` is None for what could not be found out."""

    name: str
    good: bool | None
    text: str


@dataclass(frozen=True)
class CheckReport:
    """What was found.

    Attributes:
        info: the target's own description; None where it has none.
        metadata: lines of what the server says of the model.
        findings: one for each question.
        top: (class, score) of the sample, best first, at most five.
        proposal: a ``[targets.NAME]`` table that fits where the file's does not; empty if none is known.
        queries: how many images were sent in all.
    """

    info: TargetInfo | None
    metadata: tuple[str, ...]
    findings: tuple[Finding, ...]
    top: tuple[tuple[int, float], ...] = ()
    proposal: str = ""
    queries: int = 0

    @property
    def good(self) -> bool:
        """Whether the target can be attacked as it is configured."""
        return all(finding.good is not False for finding in self.findings)


async def check_target(config: TargetConfig, sample: Pixels) -> CheckReport:
    """Connect to a target, describe it, and send ``sample`` (any size, (h, w, 3) uint8) a few times.

    Never raises for what is wrong with the target: that is what the report says. Uses connections of its own,
    so that a target in use is not disturbed, and sends REPEATS + max_batch images at most when all is well.
    """
    findings: list[Finding] = []
    try:
        target = open_target(config)
    except TargetError as error:
        return CheckReport(None, (), (Finding("answers", False, error.message),))
    try:
        try:
            info = await target.describe()
        except TargetUnavailableError as error:
            return CheckReport(None, (), (Finding("answers", False, error.message),))
        except TargetError as error:
            findings.append(Finding("layout", False, error.message))
            return await _proposed(config, sample, None, tuple(findings), 0)
        metadata = await target.metadata()
        findings.append(Finding("answers", True, f"{config.protocol} at {config.address or config.callable}"))
        sample = await asyncio.to_thread(fitted, sample, info)  # a photograph takes a while
        batch = clean_queries(sample, info, 1)
        try:
            first, seconds = await _timed(target, batch)
        except TargetUnavailableError as error:
            return CheckReport(
                info, metadata, (*findings, Finding("scores", False, error.message)), queries=1
            )
        except TargetError as error:
            findings.append(Finding("scores", False, error.message))
            return await _proposed(config, sample, info, tuple(findings), 1, metadata)
        findings.append(_layout(config, info))
        findings.append(Finding("scores", True, _SEEN[info.answers]))
        more, sent = await _repeated(target, info, batch, first, [seconds])
        findings += more
        finding, batched = await _batch(target, sample, info, first)
        findings.append(finding)
        if config.cost_per_1000_queries:
            price = config.cost_per_1000_queries
            findings.append(Finding("cost", None, f"{price:g} for 1,000 queries, {10 * price:g} for 10,000"))
        top = zip(first.top_classes[0].tolist(), first.top_probabilities[0].tolist(), strict=True)
        return CheckReport(info, metadata, tuple(findings), tuple(top), queries=1 + sent + batched)
    finally:
        await target.close()


_SEEN = {
    "probabilities": "a distribution over all classes",
    "top_k": "the best classes alone: any other counts with the smallest listed score",
    "labels": "the best class alone, without a score",
}


def fitted(sample: Pixels, info: TargetInfo) -> Pixels:
    """The sample at the target's size."""
    if sample.shape[:2] == (info.height, info.width):
        return sample
    image: Pixels = resized(sample[None], info.height, info.width, "bilinear-antialias")[0]
    return image


def clean_queries(sample: Pixels, info: TargetInfo, queries: int) -> QueryBatch:
    """The sample at the target's size, unchanged, as so many queries."""
    image = fitted(sample, info)[None]
    nothing = np.array([[[0, 0, *image[0, 0, 0]]]], np.int16)
    return QueryBatch(
        images=image,
        image_index=np.zeros(queries, np.int32),
        edits=np.repeat(nothing, queries, axis=0),
        classes=np.zeros((queries, 1), np.int32),
    )


async def _timed(target: Target, batch: QueryBatch) -> tuple[Scores, float]:
    began = time.perf_counter()
    scores = await target.query(batch)
    return scores, time.perf_counter() - began


def _layout(config: TargetConfig, info: TargetInfo) -> Finding:
    steps = config.steps or Preprocessing()
    text = (
        f"{info.width}x{info.height} {steps.channels}, {steps.layout} {steps.dtype}, {info.classes} classes"
    )
    return Finding("layout", True, text)


async def _repeated(
    target: Target, info: TargetInfo, batch: QueryBatch, first: Scores, seconds: list[float]
) -> tuple[list[Finding], int]:
    """Whether the same image scores the same each time, and how long an answer takes."""
    largest, sent = 0.0, 0
    try:
        for _ in range(REPEATS - 1):
            again, took = await _timed(target, batch)
            sent += 1
            seconds.append(took)
            same = np.array_equal(again.top_classes, first.top_classes)
            difference = np.abs(again.top_probabilities - first.top_probabilities).max() if same else 1.0
            largest = max(largest, float(difference))
    except TargetError as error:
        return [Finding("deterministic", None, error.message)], sent + 1
    text = f"{REPEATS} answers to one image are equal"
    if largest:
        text = f"{REPEATS} answers to one image differ by up to {largest:.2g}"
        text += ": deterministic = true is wrong" if info.deterministic else ": successes are asked again"
    p50, p95 = (float(np.percentile(seconds, percent)) * 1000 for percent in (50, 95))
    latency = f"p50 {p50:.1f} ms, p95 {p95:.1f} ms over {len(seconds)} requests of one image"
    good = not largest or not info.deterministic
    return [Finding("deterministic", good, text), Finding("latency", None, latency)], sent


async def _batch(target: Target, sample: Pixels, info: TargetInfo, first: Scores) -> tuple[Finding, int]:
    """Whether a request of ``max_batch`` images is answered, each like the first."""
    if info.max_batch == 1:
        return Finding("batch", True, "one image a request"), 0
    try:
        scores = await target.query(clean_queries(sample, info, info.max_batch))
    except TargetError as error:
        text = f"{info.max_batch} images a request: {error.message}; give a smaller max_batch"
        return Finding("batch", False, text), info.max_batch
    if not (scores.top_classes[:, 0] == first.top_classes[0, 0]).all():
        return Finding("batch", False, "an image's class changes with the request it is in"), info.max_batch
    return Finding("batch", True, f"{info.max_batch} images a request"), info.max_batch


async def _proposed(
    config: TargetConfig,
    sample: Pixels,
    info: TargetInfo | None,
    findings: tuple[Finding, ...],
    queries: int,
    metadata: tuple[str, ...] = (),
) -> CheckReport:
    """The report of a target that does not fit, with the first other configuration that does."""
    inputs: list[dict[str, Any]] = [{}]
    if config.protocol in KSERVE:
        inputs, metadata = await _input_proposals(config)
    for keys in inputs:
        for kind in _KINDS:
            changed = _changed(config, {**keys, **kind})
            target = open_target(changed)
            try:
                described = await target.describe()
                queries += 1
                await target.query(clean_queries(sample, described, 1))
            except TargetUnavailableError:
                return CheckReport(info, metadata, findings, queries=queries)
            except TargetError:
                continue
            finally:
                await target.close()
            table = proposed_table(config, {**keys, **kind})
            return CheckReport(info, metadata, findings, proposal=table, queries=queries)
    return CheckReport(info, metadata, findings, queries=queries)


async def _input_proposals(config: TargetConfig) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Keys that fit a KServe model's inputs and outputs, likeliest first, and what its server says of it."""
    client = kserve_client(config)
    try:
        metadata = await client.metadata(config.model)
    except CallError:
        return [], ()
    finally:
        await client.close()
    lines = tuple(
        f"{kind} {spec}"
        for kind, specs in (("input", metadata.inputs), ("output", metadata.outputs))
        for spec in specs
    )
    names: list[dict[str, Any]] = [{}]
    if len(metadata.outputs) > 1:
        names = [{"output": spec.name} for spec in metadata.outputs]
    proposals = []
    for image in metadata.inputs:
        keys = proposed_keys(image)
        if keys.get("dtype", "uint8") in ("fp16", "fp32", "fp64"):
            known = config.steps is not None and config.steps.dtype == keys["dtype"]
            keys |= {} if known else {"preset": "0-1"}
        if len(metadata.inputs) > 1:
            keys["input"] = image.name
        proposals += [{**keys, **name} for name in names]
    return proposals, lines


def _changed(config: TargetConfig, keys: dict[str, Any]) -> TargetConfig:
    """The configuration with other keys, as if the file said so."""
    preset = PRESETS[keys["preset"]] if "preset" in keys else {}
    steps = {
        key: value
        for key, value in {**preset, **keys}.items()
        if key in ("layout", "dtype", "channels", "scale", "mean", "std")
    }
    known = config.steps or Preprocessing()
    rest = {
        key: value for key, value in keys.items() if key in ("output_kind", "activation", "output", "input")
    }
    return replace(config, steps=replace(known, **steps) if steps else config.steps, **rest)


def proposed_table(config: TargetConfig, keys: dict[str, Any]) -> str:
    """A ``[targets.NAME]`` table in TOML; secrets and files stay out of it."""
    table: dict[str, Any] = {"protocol": config.protocol}
    if config.address:
        table["address"] = config.address
    table["model"] = config.model
    if config.tls:
        table["tls"] = True
    table |= keys
    lines = [f"[targets.{json.dumps(config.name) if '.' in config.name else config.name}]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    if "preset" in keys:
        lines.append("# preset: a guess; what the model's owner does to an image (docs/targets.md) decides")
    if config.headers or config.labels:
        lines.append("# and the labels, headers and limits that the file has now")
    return "\n".join(lines) + "\n"
