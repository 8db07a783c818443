"""The console script ``pixelprobe``; loads the rest inside ``main``, as Ctrl-C may come while it loads."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from client.cli.root import cli
    except KeyboardInterrupt:
        sys.exit(130)
    cli(prog_name="pixelprobe")


if __name__ == "__main__":
    main()
