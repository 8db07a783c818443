"""Health check of the Triton containers: ends with 0 if the server and every model it has are ready."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

REPOSITORY = Path("/srv/triton/models")
SECONDS = 3.0


def trouble() -> str:
    """Return what is not ready; empty when all is."""
    models = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
    if not models:
        return f"no models in {REPOSITORY}"
    connection = HTTPConnection("127.0.0.1", 8000, timeout=SECONDS)
    for path in ("health/ready", *(f"models/{model}/ready" for model in models)):
        connection.request("GET", f"/v2/{path}")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            return f"{path}: {answer.status}"
    return ""


if __name__ == "__main__":
    try:
        sys.exit(trouble() or 0)
    except (OSError, HTTPException) as error:
        sys.exit(str(error))
