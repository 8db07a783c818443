"""Readiness of the orchestrator: a store that can write, and at least one target that answers.

The segmentation service is not part of it: attacks on whole images, and on images with masks, do not need it,
and campaigns that do wait for it.
"""

from __future__ import annotations

import asyncio

from pixelprobe_services.common.errors import ServiceError
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.errors import StoreError
from pixelprobe_services.orchestrator.targets.registry import Registry


async def store_works(store: Store) -> bool:
    """Whether the store can write now."""
    try:
        await store.check()
    except StoreError:
        return False
    return True


async def any_target_answers(registry: Registry) -> bool:
    """Whether one of the targets can be described and says that it is ready.

    All are checked at once: one that hangs must not hide another that answers.
    """
    checks = [asyncio.create_task(registry.get(name).check()) for name in registry.names()]
    try:
        for answer in asyncio.as_completed(checks):
            try:
                await answer
            except ServiceError:
                continue
            return True
        return False
    finally:
        for check in checks:
            check.cancel()
        await asyncio.gather(*checks, return_exceptions=True)
