"""``make bench``: every benchmark: ratios measured side by side in one run, and limits of time and memory.

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

from pixelprobe.addresses import Addresses
from pixelprobe.api import PixelprobeClient
from tests.benchmarks import large_campaign, lite0, overhead, saturation, searches, store, wire


@contextmanager
def local_stack() -> Iterator[dict[str, dict[str, Any]]]:
    """A whole local stack on free ports: by part, its addresses and its ``pid``."""

    def run(*arguments: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "pixelprobe_deploy.local", *arguments],
            env={**os.environ, "PIXELPROBE_HOME": home, "PIXELPROBE_TRITON_VENV": str(venv)},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    own = Path(os.environ.get("PIXELPROBE_HOME", "~/.pixelprobe")).expanduser() / "triton-venv"
    venv = Path(os.environ.get("PIXELPROBE_TRITON_VENV", own))
    with tempfile.TemporaryDirectory() as home:
        for model in (wire.large_model(), lite0.model(overhead.LITE0)):
            wire.add_model(Path(home) / "zoo", model)
        try:
            run("up", "--free-ports")
            yield json.loads((Path(home) / "stack.json").read_text())
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
            print(overhead.measure(client, stack), flush=True)
            print(searches.measure(client), flush=True)
        for model in (wire.SMALL, wire.LARGE):
            print(wire.measure(stack["triton"]["grpc"], model), flush=True)


if __name__ == "__main__":
    main()
