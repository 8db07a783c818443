"""Opens the store at a location."""

from __future__ import annotations

import logging

from pixelprobe_services.orchestrator.store.base import Store
from pixelprobe_services.orchestrator.store.errors import StoreError, StoreSetupError
from pixelprobe_services.orchestrator.store.location import StoreLocation
from pixelprobe_services.orchestrator.store.memory import MemoryStore
from pixelprobe_services.orchestrator.store.sql.store import LEASE_SECONDS, SqlStore

log = logging.getLogger(__name__)


async def open_store(location: StoreLocation, *, lease_seconds: float = LEASE_SECONDS) -> Store:
    """Open the store at ``location``; an empty database gets its schema.

    Raises:
        StoreSetupError: it cannot be opened, with what to do about it.
    """
    if location.url is None:
        log.warning("store: memory; campaigns end with this process")
        return MemoryStore()
    try:
        store = await SqlStore.open(location, lease_seconds=lease_seconds)
    except StoreSetupError as error:
        raise StoreSetupError(f"store {location}: {error}") from error
    except StoreError as error:
        raise StoreSetupError(f"store {location}: {error.message}") from error
    log.info("store: %s", location)
    return store
