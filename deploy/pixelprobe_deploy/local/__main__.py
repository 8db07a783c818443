"""``python -m pixelprobe_deploy.local up|down|status``. Wiring only."""

from __future__ import annotations

import sys

from pixelprobe_deploy.local.interrupts import Interrupts

if __name__ == "__main__":
    interrupts = Interrupts()
    interrupts.install()  # before the imports below, which take a while
    try:
        from pixelprobe_deploy.local.commands import main
    except ModuleNotFoundError as error:
        sys.exit(
            f"Error: the local stack needs the package {error.name}: pip install 'pixelprobe[server]' "
            "(from a clone: pip install -e '.[server]')"
        )
    main(prog_name="pixelprobe", obj=interrupts)
