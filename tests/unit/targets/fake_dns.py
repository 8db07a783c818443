"""A name server on loopback that answers every question for an IPv4 address with the same list.

It is as much of RFC 1035 as gRPC's resolver asks for: one question in, its A records out, and no records of
any other type.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

_HEADER = struct.Struct("!HHHHHH")
_ANSWER = struct.Struct("!HHHIH4s")
_RESPONSE, _NO_ERROR = 0x8400, 0
_A, _INTERNET = 1, 1
_SAME_NAME = 0xC00C
"""A pointer to the question's name, right behind the header."""


class FakeDns(asyncio.DatagramProtocol):
    """``addresses`` may be changed at any time; ``questions`` counts those for IPv4 addresses."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.questions = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        number = _HEADER.unpack_from(data)[0]
        end = data.index(0, _HEADER.size) + 1 + 4  # the name, its type and class
        kind = int.from_bytes(data[end - 4 : end - 2])
        answers = [
            _ANSWER.pack(_SAME_NAME, _A, _INTERNET, 0, 4, socket.inet_aton(address))
            for address in self.addresses
            if kind == _A
        ]
        self.questions += kind == _A
        header = _HEADER.pack(number, _RESPONSE | _NO_ERROR, 1, len(answers), 0, 0)
        assert self._transport is not None
        self._transport.sendto(header + data[_HEADER.size : end] + b"".join(answers), addr)


@asynccontextmanager
async def name_server(addresses: list[str]) -> AsyncIterator[tuple[FakeDns, str]]:
    """A running one, and its HOST:PORT."""
    transport, fake = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: FakeDns(addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        host, port = transport.get_extra_info("sockname")
        yield fake, f"{host}:{port}"
    finally:
        transport.close()
