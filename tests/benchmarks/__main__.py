"""``make bench``: every benchmark, each a ratio of two things measured side by side in one run, or a limit.

Needs nothing running: it starts a local stack of its own. Figures of one run compare with each other only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client.addresses import Addresses
from client.api import PixelprobeClient
from tests.benchmarks import large_campaign, saturation, store, wire


@contextmanager
def local_stack() -> Iterator[dict[str, dict[str, Any]]]:
    """A whole local stack on free ports; what ``status --json`` prints."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", *arguments],
            env={**os.environ, "PIXELPROBE_HOME": home, "PIXELPROBE_TRITON_VENV": str(venv)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    own = Path(os.environ.get("PIXELPROBE_HOME", "~/.pixelprobe")).expanduser() / "triton-venv"
    venv = Path(os.environ.get("PIXELPROBE_TRITON_VENV", own))
    with tempfile.TemporaryDirectory() as home:
        wire.add_large_model(Path(home) / "zoo")
        try:
            run("up", "--free-ports")
            yield json.loads(run("status", "--json"))
        finally:
            run("down")


def main() -> None:
    """Run all and print one line each."""
    print(store.measure(), flush=True)
    print(large_campaign.measure(), flush=True)
    with local_stack() as stack:
        addresses = Addresses(stack["orchestrator"]["grpc"], stack["segmentation"]["grpc"])
        with PixelprobeClient(addresses) as client:
            for model in saturation.MODELS:
                print(saturation.measure(client, stack["triton"]["grpc"], model), flush=True)
        for model in (wire.SMALL, wire.LARGE):
            print(wire.measure(stack["triton"]["grpc"], model), flush=True)


if __name__ == "__main__":
    main()
