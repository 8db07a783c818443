"""An image of Prometheus for the stack, also where no registry can be reached."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import docker
from docker.errors import APIError, NotFound

TAG = "pixelprobe-e2e-prometheus:debian"

_DOCKERFILE = b"""
FROM python:3.11-slim-bookworm
COPY prometheus /bin/prometheus
COPY wget /usr/local/bin/wget
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
ENTRYPOINT ["/bin/prometheus"]
"""
"""As in the project's own image: a plain user, data in /prometheus."""

_WGET = b"""#!/usr/bin/env python3
import sys, urllib.request
urllib.request.urlopen(sys.argv[-1], timeout=4).read()
"""
"""The program of the stack's health check, which the base lacks."""


def image(engine: docker.DockerClient, wanted: str) -> str:
    """Return ``wanted`` if it is present or can be pulled; else an image of this machine's Prometheus."""
    try:
        engine.images.get(wanted)
    except NotFound:
        try:
            engine.images.pull(wanted)
        except APIError:
            return _build(engine)
    return wanted


def _build(engine: docker.DockerClient) -> str:
    program = shutil.which("prometheus")
    assert program, "no registry can be reached, and no prometheus is installed (Debian: prometheus)"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in (
            ("Dockerfile", _DOCKERFILE),
            ("wget", _WGET),
            ("prometheus", Path(program).read_bytes()),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=TAG, rm=True)
    return TAG
