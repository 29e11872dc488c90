"""TLS: a certificate and its key, tried out before anybody depends on them."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from windtunnel.errors import InvalidInputError

SOON_S = 14 * 86_400.0
"""A certificate that ends sooner is worth a word."""


def tls_of(certificate: Path, key: Path) -> tuple[ssl.SSLContext, str]:
    """What a server takes (TLS 1.2 and newer), and a remark, empty where there is none.

    certificate: PEM, the server's own first. Raises InvalidInputError where a file cannot be read or is not PEM, where the two do
    not belong together, or where the certificate has ended or not begun.
    """
    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        try:
            text = path.read_bytes()
        except OSError as error:
            raise InvalidInputError(option, f"{path} cannot be read: {error.strerror or error}") from None
        if b"-----BEGIN " not in text:
            raise InvalidInputError(option, f"{path} is not PEM")
    if b"-----BEGIN CERTIFICATE-----" not in certificate.read_bytes():
        raise InvalidInputError("--tls-cert", f"{certificate} holds no certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def no_password() -> str:
        raise InvalidInputError("--tls-key", f"{key} is encrypted; give one that is not, readable by this user alone")

    try:
        context.load_cert_chain(certificate, key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise InvalidInputError("--tls-key", f"{key} is not the key of {certificate}") from None
        raise InvalidInputError("--tls-cert", f"{certificate} and {key} cannot be used: {error.reason or error}") from None
    return context, _remark(context, certificate)


def _remark(server: ssl.SSLContext, certificate: Path) -> str:
    """Shakes hands with itself, so that the certificate's dates are judged as clients will judge them."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate vouches for itself
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                raise InvalidInputError("--tls-cert", f"{certificate}: {error.verify_message}") from None
            except ssl.SSLError as error:
                raise InvalidInputError("--tls-cert", f"{certificate} cannot be used: {error.reason or error}") from None
        if not waiting:
            break
    told = ends[0].getpeercert() or {}
    left_s = ssl.cert_time_to_seconds(str(told["notAfter"])) - time.time() if "notAfter" in told else SOON_S
    return f"{certificate} ends in {left_s / 86_400:.0f} days" if left_s < SOON_S else ""
