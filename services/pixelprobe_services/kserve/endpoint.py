"""Where a model server is and how to connect to it: address, deadline, TLS and secret headers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from pixelprobe_services.kserve.errors import RefusedError


@dataclass(frozen=True)
class Endpoint:
    """One server.

    Attributes:
        address: ``host:port``; over HTTP a path prefix may follow.
        timeout_seconds: deadline of one inference.
        tls: encrypt, and check the server's certificate.
        authorities: certificates (PEM text) of the authorities to trust; None trusts the system's.
        certificate, key: files (PEM) of the client's certificate, for a server that asks for one.
        headers: (name, secret value) pairs that go with every call.
    """

    address: str
    timeout_seconds: float = 60.0
    tls: bool = False
    authorities: str | None = field(default=None, repr=False)
    certificate: Path | None = None
    key: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def grpc_credentials(self) -> grpc.ChannelCredentials | None:
        """Credentials of a gRPC channel; None for plaintext.

        Raises:
            RefusedError: a file of the certificate cannot be read.
        """
        if not self.tls:
            return None
        authorities = self.authorities.encode() if self.authorities else None
        if self.certificate is None or self.key is None:
            return grpc.ssl_channel_credentials(authorities)
        try:
            return grpc.ssl_channel_credentials(
                authorities, self.key.read_bytes(), self.certificate.read_bytes()
            )
        except OSError as error:
            raise self._unreadable(error) from error

    def ssl_context(self) -> ssl.SSLContext | None:
        """TLS settings of HTTP connections; None for plaintext. Raises as :meth:`grpc_credentials`."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cadata=self.authorities)
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:  # SSLError is one
                raise self._unreadable(error) from error
        return context

    def _unreadable(self, error: OSError) -> RefusedError:
        return RefusedError(f"{self.address}: tls_cert or tls_key: {error.strerror or error}")
