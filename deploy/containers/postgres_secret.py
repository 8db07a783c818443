"""``postgres_secret.py FOLDER`` makes the password of the stack's PostgreSQL, unless there is one already.

FOLDER/password is for the database, FOLDER/url for the orchestrator. The folder is a volume that only these
two see, so that the secret is in no file of the host, no environment and no image.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

URL = "postgresql://pixelprobe:{password}@postgres:5432/pixelprobe"


def main(folder: Path) -> None:
    """Write both files; the second marks the work as done."""
    done = folder / "url"
    if done.exists():
        return
    password = secrets.token_hex(32)
    (folder / "password").write_text(password + "\n")
    unfinished = folder / "url.partial"
    unfinished.write_text(URL.format(password=password) + "\n")
    unfinished.rename(done)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
