"""A finished load test as files: JSON with all that was measured, and CSV with a row for each step."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixelprobe.load.values import LoadSpec, LoadStep, LoadWindow
from pixelprobe_services.common.files import write_text
from pixelprobe_services.common.text import csv_cell

COLUMNS = (
    "offered_rate", "concurrency", "batch", "seconds", "requests", "achieved_rate", "queries_answered",
    "mean", "p50", "p90", "p95", "p99", "p999", "max", "error_share", "schedule_delay_p99", "cpu_share",
    "bytes_sent", "bytes_received", "longest_retry_after", "achieved", "reason",
)  # fmt: skip


def as_record(
    spec: LoadSpec, steps: Sequence[LoadStep], windows: Sequence[Sequence[LoadWindow]], highest: float | None
) -> dict[str, Any]:
    """Everything, with the types of JSON: latencies in seconds, histograms as base64 (microseconds)."""
    return {
        "spec": asdict(spec),
        "highest_rate": highest,
        "steps": [{**asdict(step), "error_share": step.error_share} for step in steps],
        "windows": [[asdict(window) for window in step] for step in windows],
    }


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write what :func:`as_record` gives."""
    write_text(path, json.dumps(record, indent=2) + "\n")


def write_csv(path: Path, steps: Sequence[LoadStep]) -> None:
    """One row for each step; latencies in seconds."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for step in steps:
        values = {**asdict(step), **asdict(step.latency), "error_share": step.error_share}
        writer.writerow({name: csv_cell(values[name]) for name in COLUMNS})
    write_text(path, text.getvalue())
