"""Explanations of failed TLS connections."""

from __future__ import annotations

from pixelprobe_services.common.errors import UnavailableError

_NO_CONNECTION = "failed to connect to all addresses"


class TlsError(UnavailableError):
    """The TLS handshake failed; the message says what to change."""

    reason = "TLS"


def tls_error(details: str, service: str, address: str, *, tls: bool, certificate: bool) -> TlsError | None:
    """Return the TLS error behind a failed connection; None if TLS is not the cause.

    Args:
        details: of gRPC's status.
        service: name of the service, for the message.
        address: HOST:PORT of the service.
        tls: the client used TLS.
        certificate: the client presented a certificate.
    """
    if _NO_CONNECTION not in details:
        return None
    where = f"the {service} service at {address}"
    if tls:
        return _when_encrypted(details, where, address.rpartition(":")[0], certificate)
    if "Socket closed" in details or "Connection reset" in details:
        return TlsError(f"{where} closes plaintext connections; if it uses TLS, give --tls-ca (or --tls)")
    return None


def _when_encrypted(details: str, where: str, host: str, certificate: bool) -> TlsError | None:
    if "WRONG_VERSION_NUMBER" in details:
        return TlsError(f"{where} does not use TLS; leave out --tls-ca and --tls, if plaintext is acceptable")
    if "certificate has expired" in details:
        return TlsError(f"the certificate of {where} has expired; its operator has to renew it")
    if "not yet valid" in details:
        return TlsError(f"the certificate of {where} is not valid yet; compare the clocks")
    if "Hostname Verification" in details:
        return TlsError(
            f"the certificate of {where} is for another name than {host!r};"
            " use the name that is in it, or have this one put into it"
        )
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return TlsError(
            f"the certificate of {where} comes from an authority that is not trusted;"
            " give the right one with --tls-ca"
        )
    if "handshake failed" in details:
        return TlsError(f"no TLS connection to {where}: {details.rpartition('SSL routines:')[2]}")
    if "Socket closed" in details or "Connection reset" in details:
        asked = (
            "it does not accept this client certificate; give one that its authority has signed"
            if certificate
            else "if it requires a client certificate, give --tls-cert and --tls-key"
        )
        return TlsError(f"{where} closes the TLS connection; {asked}")
    return None
