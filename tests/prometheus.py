"""Metrics parsed as Prometheus does, and the metric names in a query."""

from __future__ import annotations

import re
import urllib.request

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

_WORDS = {"and", "or", "unless", "bool", "offset"}


def read(text: str) -> Samples:
    """Return every sample of a metrics page, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(registry: CollectorRegistry) -> Samples:
    """Return the current samples of a registry."""
    return read(generate_latest(registry).decode())


def scrape(address: str) -> Samples:
    """Return the current samples of http://ADDRESS/metrics."""
    return read(page(address))


def page(address: str) -> str:
    """Return the text of http://ADDRESS/metrics."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def names_on(text: str) -> set[str]:
    """The series of a page by their own names: the parser above adds _total to counters that lack it."""
    return set(re.findall(r"^([A-Za-z_:][\w:]*)", text, re.MULTILINE))


def total(samples: Samples, name: str, **labels: str) -> float:
    """Return the sum over all series of that name with these labels; there must be at least one."""
    found = [value for (one, has), value in samples.items() if one == name and labels.items() <= has]
    assert found, f"no series {name} {labels}"
    return sum(found)


def names_in(query: str) -> set[str]:
    """Return the names of the metrics in a PromQL query."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    words = re.findall(r"[A-Za-z_:][A-Za-z0-9_:]*(?!\w)(?!\s*\()", re.sub(r"\b\d[\w.]*", "", bare))
    return {word for word in words if word not in _WORDS}
