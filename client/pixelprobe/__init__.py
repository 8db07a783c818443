"""pixelprobe: how easily is a served image classifier fooled by a few changed pixels, and where?

Example::

    import pixelprobe

    with pixelprobe.local_stack():
        found = pixelprobe.attack("cat.png", target="nin_cifar10", region="foreground", budget=500)
    print(found.outcome, found.queries, found.clean_label, found.adversarial_label)
    found.plot().show()

Errors are those of :mod:`pixelprobe_services.common.errors` (a service refused or failed),
:class:`pixelprobe.rpc.UnreachableError` (no service answers), and
:class:`pixelprobe.inputs.images.ImageError` and :class:`pixelprobe.inputs.planned.PlanError` (an image or an
argument cannot be used).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelprobe.library.results import AttackResult as AttackResult
    from pixelprobe.library.results import AttackResults as AttackResults
    from pixelprobe.library.session import Session as Session
    from pixelprobe.library.session import attack as attack
    from pixelprobe.library.session import connect as connect
    from pixelprobe.library.stack import local_stack as local_stack

_HOMES = {
    "AttackResult": "pixelprobe.library.results",
    "AttackResults": "pixelprobe.library.results",
    "Session": "pixelprobe.library.session",
    "attack": "pixelprobe.library.session",
    "connect": "pixelprobe.library.session",
    "local_stack": "pixelprobe.library.stack",
}
"""Where each public name lives; loaded on first use, so that the command line starts fast."""

__all__ = ["AttackResult", "AttackResults", "Session", "attack", "connect", "local_stack"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
