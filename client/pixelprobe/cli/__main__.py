"""The console script ``pixelprobe``; loads the rest inside ``main``, as Ctrl-C may come while it loads."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line."""
    # A failure is one line; gRPC would add its own of a TLS handshake that fails. Read when gRPC is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    try:
        from pixelprobe.cli.root import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli(prog_name="pixelprobe")


if __name__ == "__main__":
    main()
