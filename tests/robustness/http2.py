"""HTTP/2 over a plain socket, for messages that no gRPC library sends but a hostile peer may.

Only what these tests need of RFC 9113 and RFC 7541: frames are written with literal header fields, never
indexed nor Huffman-coded, and answers are read as frames without looking into them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import Self

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame; ``payload`` must be shorter than 2**24 bytes."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header_block(path: bytes, more: Mapping[bytes, bytes] | None = None) -> bytes:
    """The header fields of a gRPC request, in HPACK."""
    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path,
        b":authority": b"localhost",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        **(more or {}),
    }
    return b"".join(b"\x00" + _string(name) + _string(value) for name, value in fields.items())


def grpc_message(payload: bytes, *, declared: int | None = None) -> bytes:
    """gRPC's length-prefixed message; ``declared`` may lie about the length."""
    return b"\x00" + struct.pack(">I", len(payload) if declared is None else declared) + payload


def _string(value: bytes) -> bytes:
    """Length (7-bit prefix) and bytes."""
    if len(value) < 127:
        return bytes((len(value),)) + value
    rest, encoded = len(value) - 127, bytearray((127,))
    while rest >= 128:
        encoded.append(rest % 128 + 128)
        rest //= 128
    return bytes(encoded) + bytes((rest,)) + value


class Peer:
    """A connection that has sent the preface and empty settings."""

    def __init__(self, address: str, *, greet: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, raw: bytes) -> None:
        """Send raw bytes; a connection that the server has closed is no error."""
        with contextlib.suppress(OSError):
            self.socket.sendall(raw)

    def request(
        self, path: bytes, body: bytes = b"", *, stream: int = 1, more: Mapping[bytes, bytes] | None = None
    ) -> None:
        """Send headers, and ``body`` as data that ends the stream."""
        self.send(
            frame(HEADERS, END_HEADERS, stream, header_block(path, more))
            + frame(DATA, END_STREAM, stream, body)
        )

    def frames(self, seconds: float) -> Iterator[tuple[int, int, int]]:
        """(kind, flags, stream) of what comes, until the server closes or says nothing for so long."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(OSError, EOFError):
            while True:
                head = self._read(9)
                self._read(int.from_bytes(head[:3], "big"))
                yield head[3], head[4], int.from_bytes(head[5:9], "big")

    def is_answered(self, stream: int = 1, *, seconds: float = 10) -> bool:
        """Whether the server ends the stream, resets it, or hangs up, within ``seconds`` of silence."""
        for kind, flags, number in self.frames(seconds):
            ends = kind in (HEADERS, DATA) and flags & END_STREAM
            if kind == GOAWAY or (number == stream and (ends or kind == RST_STREAM)):
                return True
        self.socket.settimeout(0.1)
        with contextlib.suppress(TimeoutError, OSError):
            return self.socket.recv(1) == b""
        return False

    def _read(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self.socket.recv(count - len(parts))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)
