"""What a failed connection says about TLS, in words that help."""

from __future__ import annotations

from pixelprobe_services.common.errors import UnavailableError

_NO_CONNECTION = "failed to connect to all addresses"


class TlsError(UnavailableError):
    """There is a server, and no agreement with it on how to encrypt; the message says what to change."""

    reason = "TLS"


def tls_error(details: str, service: str, address: str, *, tls: bool, certificate: bool) -> TlsError | None:
    """The error that gRPC's ``details`` of a failed connection tell of; None if they tell of no such thing.

    Args:
        details: what the status says.
        service: its name, for the message.
        address: its HOST:PORT.
        tls: the connection was to be encrypted.
        certificate: with an own certificate.
    """
    if _NO_CONNECTION not in details:
        return None
    where = f"the {service} service at {address}"
    if tls:
        return _when_encrypted(details, where, address.rpartition(":")[0], certificate)
    if "Socket closed" in details or "Connection reset" in details:
        return TlsError(f"{where} hangs up on plaintext; if it speaks TLS, give --tls-ca (or --tls)")
    return None


def _when_encrypted(details: str, where: str, host: str, certificate: bool) -> TlsError | None:
    if "WRONG_VERSION_NUMBER" in details:
        return TlsError(f"{where} does not speak TLS; leave --tls-ca and --tls out, if that can be")
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
            "it does not accept this client certificate; give one that its authority signed"
            if certificate
            else "if it asks for a client certificate, give --tls-cert and --tls-key"
        )
        return TlsError(f"{where} hangs up on the TLS connection; {asked}")
    return None
