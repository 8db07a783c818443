"""Limits on what a load test may show, as people write them: ``p99>200ms``, ``errors>0.1%``, ``rate<95``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pixelprobe.inputs.planned import PlanError
from pixelprobe.load.values import LoadStep

_LATENCIES = ("mean", "p50", "p90", "p95", "p99", "p999", "max")
_LIMIT = re.compile(
    r"\s*(?P<figure>[a-z0-9]+)\s*(?P<sign>[<>])\s*(?P<value>[0-9]+(\.[0-9]+)?)\s*(?P<unit>ms|us|s|%|)\s*"
)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
FORM = "expected FIGURE>VALUE or FIGURE<VALUE: a latency in us, ms or s, errors in %, rate in requests/s"


@dataclass(frozen=True)
class Limit:
    """A condition under which a load test fails.

    Attributes:
        text: as it was written.
        broken: whether a step breaks it.
    """

    text: str
    broken: Callable[[LoadStep], bool]


def parse_limits(text: str, option: str) -> list[Limit]:
    """Limits separated by commas.

    Raises:
        PlanError: a limit cannot be read; the message names it and ``option``.
    """
    return [_parse(part, option) for part in text.split(",")]


def _parse(text: str, option: str) -> Limit:
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise PlanError(f"{option}: {text.strip()!r} cannot be read; {FORM}")
    figure, unit, value = match["figure"], match["unit"], float(match["value"])
    above = match["sign"] == ">"
    if figure in _LATENCIES and unit in _SECONDS:
        limit = value * _SECONDS[unit]

        def measured(step: LoadStep) -> float:
            return float(getattr(step.latency, figure))
    elif figure == "errors" and unit == "%":
        limit = value / 100

        def measured(step: LoadStep) -> float:
            return step.error_share
    elif figure == "rate" and not unit:
        limit = value

        def measured(step: LoadStep) -> float:
            return step.achieved_rate
    else:
        known = ", ".join((*_LATENCIES, "errors", "rate"))
        raise PlanError(f"{option}: {text.strip()!r} names none of {known} with its unit; {FORM}")
    return Limit(text.strip(), lambda step: measured(step) > limit if above else measured(step) < limit)
