"""Traces of Triton in its container: off, or of what carries a traceparent and nothing else."""

from __future__ import annotations

from deploy.containers.serve_triton import tracing_flags


def test_no_flags_without_a_collector() -> None:
    assert tracing_flags("") == []


def test_flags_of_a_collector() -> None:
    flags = tracing_flags("http://collector:4318/v1/traces")
    assert "--trace-config=mode=opentelemetry" in flags
    assert "--trace-config=opentelemetry,url=http://collector:4318/v1/traces" in flags
    assert "--trace-config=rate=0" in flags
