"""The Python API behind ``import pixelprobe``: sessions, results and the local stack."""
