"""The searches: how the next candidates are chosen. See ``base.Search`` for the contract."""

from pixelprobe_services.orchestrator.core.search.base import Search, SearchProtocolError
from pixelprobe_services.orchestrator.core.search.factory import SEARCHES, create_search, restore_search
from pixelprobe_services.orchestrator.core.search.state import (
    SearchState,
    StateDecodeError,
    StateError,
    StateVersionError,
)

__all__ = [
    "SEARCHES",
    "Search",
    "SearchProtocolError",
    "SearchState",
    "StateDecodeError",
    "StateError",
    "StateVersionError",
    "create_search",
    "restore_search",
]
