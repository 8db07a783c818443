"""``grafana_secret.py FOLDER`` makes the password of Grafana's user admin, unless there is one already.

FOLDER is a volume that only Grafana sees beside this, so that the password is in no file of the host, no
environment and no image. To read it:
  docker compose -f deploy/compose.yaml --profile monitoring exec grafana cat /run/grafana/password
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Write the file whole or not at all."""
    done = folder / "password"
    if done.exists():
        return
    unfinished = folder / "password.partial"
    unfinished.write_text(secrets.token_urlsafe(24))
    unfinished.rename(done)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
