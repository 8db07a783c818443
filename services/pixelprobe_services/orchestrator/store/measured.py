"""A store whose operations are timed, whichever store it is."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from pixelprobe_services.orchestrator.metrics import OrchestratorMetrics
from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")

OPERATIONS = tuple(sorted(Store.__abstractmethods__ - {"close"}))
"""What the contract asks of a store."""


def measured(store: Store, metrics: OrchestratorMetrics) -> Store:
    """``store`` itself, each of its operations timed from now on, and its failures (StoreError) counted."""
    for name in OPERATIONS:
        setattr(store, name, _timed(name, getattr(store, name), metrics))
        metrics.expect_store_operation(name)
    return store


def _timed(
    name: str, operation: Callable[P, Awaitable[T]], metrics: OrchestratorMetrics
) -> Callable[P, Awaitable[T]]:
    @functools.wraps(operation)
    async def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        with metrics.store_operation(name, StoreError):
            return await operation(*args, **kwargs)

    return timed
