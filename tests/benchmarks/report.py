"""``python -m tests.benchmarks.report``: time and memory of a report on a campaign as large as the paper's.

13,500 made-up attacks (500 images, three models, three regions, 1, 3 and 5 pixels, untargeted), written in
full: tables, figures and page. Exits with 1 if it takes more than 60 s of the CPU (it runs on one core, so
this is how long it takes on a free machine) or more than 1 GB.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

MOST_SECONDS = 60.0
MOST_BYTES = 1e9


def main() -> int:
    """Write the report and print what it took."""
    started, cpu = time.monotonic(), time.process_time()
    from pixelprobe.report.write import write_report
    from tests.unit.report.campaigns import campaign
    from tests.unit.report.reports import material

    loaded = time.monotonic()
    rows = list(campaign(500))
    made, made_cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        page = write_report(material(rows), Path(folder))
        size = page.stat().st_size
    seconds, busy = time.monotonic() - made, time.process_time() - made_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{len(rows):,} attacks; loading the program {loaded - started:.1f} s")
    print(f"report: {seconds:.1f} s, {busy:.1f} s of them on the CPU")
    print(f"peak memory of the whole process {peak / 1e6:,.0f} MB; page {size / 1e6:.1f} MB")
    print(f"whole process on the CPU: {time.process_time() - cpu:.1f} s")
    return int(busy > MOST_SECONDS or peak > MOST_BYTES)


if __name__ == "__main__":
    sys.exit(main())
