"""How a target is met by TLS: whom to trust, and the own certificate where the server asks for one.

The files were checked when the targets file was read; the library behind each protocol wants them in its way.
"""

from __future__ import annotations

import ssl

import grpc

from pixelprobe_services.orchestrator.targets.base import TargetError
from pixelprobe_services.orchestrator.targets.config import TargetConfig


def grpc_credentials(config: TargetConfig) -> grpc.ChannelCredentials:
    """For a channel to the target.

    Raises:
        TargetError: a file of the certificate cannot be read any more.
    """
    authorities = config.tls_ca.encode() if config.tls_ca else None
    if config.tls_cert is None or config.tls_key is None:
        return grpc.ssl_channel_credentials(authorities)
    try:
        return grpc.ssl_channel_credentials(
            authorities, config.tls_key.read_bytes(), config.tls_cert.read_bytes()
        )
    except OSError as error:
        raise _lost(config, error) from error


def http_context(config: TargetConfig) -> ssl.SSLContext:
    """For connections to the target. Raises as :func:`grpc_credentials`."""
    context = ssl.create_default_context(cadata=config.tls_ca)
    if config.tls_cert is not None:
        try:
            context.load_cert_chain(config.tls_cert, config.tls_key, password="")
        except OSError as error:  # SSLError is one
            raise _lost(config, error) from error
    return context


def _lost(config: TargetConfig, error: OSError) -> TargetError:
    return TargetError(f"{config.address}: tls_cert or tls_key: {error.strerror or error}")
