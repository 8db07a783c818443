"""The searches: how the next candidates are chosen. ``base.Search`` is their contract."""

from pixelprobe_services.orchestrator.core.search.base import Search, SearchProtocolError
from pixelprobe_services.orchestrator.core.search.factory import (
    SEARCHES,
    check_search,
    create_search,
    restore_search,
)
from pixelprobe_services.orchestrator.core.search.scene import Scene
from pixelprobe_services.orchestrator.core.search.state import (
    SearchState,
    StateDecodeError,
    StateError,
    StateVersionError,
)

__all__ = [
    "SEARCHES",
    "Scene",
    "Search",
    "SearchProtocolError",
    "SearchState",
    "StateDecodeError",
    "StateError",
    "StateVersionError",
    "check_search",
    "create_search",
    "restore_search",
]
