"""Limits on a server's connections: in all, by peer, and in time for those that ask for nothing.

gRPC itself caps connections in all. It cannot tell one peer from another, nor a client from a socket that
only occupies a descriptor, so a task looks at the process's sockets from time to time and shuts some of them;
gRPC sees the end of the stream and closes its side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import stat
import time
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from pixelprobe_services.server.interceptors import AroundInterceptor, Call

WANTED_DESCRIPTORS = 65_536
"""The soft limit is raised to this, or to the hard limit if that is lower."""

RESERVED_DESCRIPTORS = 256
"""Kept free of connections: for the store, targets, libraries that load files late, and metrics."""

MOST_CONNECTIONS = 4096

QUIET_SECONDS = 20.0
"""A connection without any accepted RPC is shut after this long."""

LOOK_SECONDS = 2.0

_DESCRIPTORS = Path("/proc/self/fd")
_HAS_PROC = _DESCRIPTORS.is_dir()

Address = tuple[str, int]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How many connections a server holds in all, and of one peer (an IP address)."""

    total: int
    a_peer: int


def raise_descriptor_limit() -> Limits:
    """Raise this process's soft limit on descriptors. Returns the limits on connections that fit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    room = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft - RESERVED_DESCRIPTORS
    total = max(16, min(MOST_CONNECTIONS, room))
    return Limits(total, total // 2)


@dataclass
class _Use:
    """RPCs of a connection; ``active`` is when the last one began or ended, None before the first."""

    running: int = 0
    active: float | None = None


class Connections(AroundInterceptor):
    """Counts the accepted RPCs of each connection, and shuts the connections that ask for too little.

    Stands inside of what checks tokens, so that refused RPCs do not count.

    >>> connections = Connections(raise_descriptor_limit())
    >>> server = grpc.aio.server(interceptors=(authorization, connections), options=connections.options)
    >>> watching = asyncio.create_task(connections.watch(port))
    """

    def __init__(
        self, limits: Limits, *, quiet_seconds: float = QUIET_SECONDS, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self.options = (("grpc.max_allowed_incoming_connections", limits.total),)
        self._limits = limits
        self._quiet_seconds = quiet_seconds
        self._look_seconds = look_seconds
        self._uses: defaultdict[Address, _Use] = defaultdict(_Use)
        self._first_seen: dict[Address, float] = {}

    @contextlib.asynccontextmanager
    async def around(self, call: Call) -> AsyncIterator[None]:
        """Count the RPC for its connection."""
        peer = _peer(call.context.peer())
        if peer is None:
            yield
            return
        use = self._uses[peer]
        use.running += 1
        use.active = time.monotonic()
        try:
            yield
        finally:
            use.running -= 1
            use.active = time.monotonic()

    async def watch(self, port: int) -> None:
        """Shut connections to ``port`` over the limits, until cancelled; only where there is /proc."""
        while _HAS_PROC:
            await asyncio.sleep(self._look_seconds)
            try:
                sockets = await asyncio.to_thread(_sockets, port)
            except OSError as error:  # out of descriptors, which this is meant to end
                _log.warning("cannot look at the connections: %s", error)
                continue
            shut = self._surplus(set(sockets.values()), time.monotonic())
            if shut:
                await asyncio.to_thread(_shut, sockets, shut)
                _log.warning(
                    "shut %d of %d connections: %s", len(shut), len(sockets), _most(peer for peer, _ in shut)
                )

    def _surplus(self, peers: set[Address], now: float) -> set[Address]:
        """Return which of the connected ``peers`` to shut."""
        self._first_seen = {peer: self._first_seen.get(peer, now) for peer in peers}
        for gone in [peer for peer, use in self._uses.items() if peer not in peers and not use.running]:
            del self._uses[gone]
        shut = {
            peer
            for peer in peers
            if peer not in self._uses and now - self._first_seen[peer] >= self._quiet_seconds
        }
        by_host: defaultdict[str, list[Address]] = defaultdict(list)
        for peer in peers - shut:
            by_host[peer[0]].append(peer)
        for of_host in by_host.values():
            over = len(of_host) - self._limits.a_peer
            if over > 0:
                shut.update(sorted(filter(self._is_idle, of_host), key=self._last_active)[:over])
        return shut

    def _is_idle(self, peer: Address) -> bool:
        return peer not in self._uses or not self._uses[peer].running

    def _last_active(self, peer: Address) -> tuple[bool, float]:
        """Those without any RPC come first, then those that were quiet for longest."""
        use = self._uses.get(peer)
        if use is None or use.active is None:
            return False, self._first_seen[peer]
        return True, use.active


def _peer(text: str) -> Address | None:
    """Parse gRPC's name of a peer, such as ``ipv4:127.0.0.1:5``; None if it is no TCP peer."""
    kind, _, rest = text.partition(":")
    host, _, port = urllib.parse.unquote(rest).rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdigit():
        return None
    return _plain(host.strip("[]")), int(port)


def _plain(host: str) -> str:
    """The IPv4 address in an IPv6 one, without a zone."""
    return host.removeprefix("::ffff:").partition("%")[0]


def _sockets(port: int) -> dict[int, Address]:
    """Return this process's descriptors of TCP connections to its own ``port``, with their peers."""
    found: dict[int, Address] = {}
    for entry in _DESCRIPTORS.iterdir():
        descriptor = int(entry.name)
        if peer := _peer_of(descriptor, port):
            found[descriptor] = peer
    return found


def _peer_of(descriptor: int, port: int) -> Address | None:
    try:
        if not stat.S_ISSOCK(os.stat(descriptor).st_mode):
            return None
        with socket.socket(fileno=os.dup(descriptor)) as one:
            if one.family not in (socket.AF_INET, socket.AF_INET6) or one.getsockname()[1] != port:
                return None
            host, peer_port = one.getpeername()[:2]
    except OSError:  # closed meanwhile, or one that listens
        return None
    return _plain(host), peer_port


def _shut(sockets: dict[int, Address], peers: set[Address]) -> None:
    """Shut the connections to ``peers``: not closed, as the descriptors are gRPC's."""
    for descriptor, peer in sockets.items():
        if peer not in peers:
            continue
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as one:
            # The descriptor may have been closed and used anew since it was looked at.
            host, port = one.getpeername()[:2]
            if (_plain(host), port) == peer:
                one.shutdown(socket.SHUT_RDWR)


def _most(hosts: Iterable[str]) -> str:
    """Name the hosts with most connections, for the log."""
    return ", ".join(f"{count} of {host}" for host, count in Counter(hosts).most_common(3))
