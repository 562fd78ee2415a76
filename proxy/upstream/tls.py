"""Which certificates are accepted as the upstream's, and why one was not accepted."""

import ssl
from pathlib import Path

from proxy.errors import ConfigError

# OpenSSL's results of a verification (X509_V_ERR_… in its x509_vfy.h) for which there is advice.
_EXPIRED, _NOT_YET_VALID = 10, 9
_SELF_SIGNED, _SELF_SIGNED_IN_CHAIN = 18, 19
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_ANOTHER_NAME = frozenset({62, 64})
_NO_CERTIFICATE = "holds no certificates in PEM form (-----BEGIN CERTIFICATE-----), or a damaged one"
_CA_ADVICE = "set upstream.ca_file to the certificates of whoever issues it"


def ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return the context for connections: it accepts certificates of the authorities in `ca_file`, or of the system's if None.

    The system's are OpenSSL's own, or those that SSL_CERT_FILE and SSL_CERT_DIR name. Raises ConfigError if the file cannot be
    read or holds no certificate.
    """
    context = ssl.create_default_context() if ca_file is None else _context_of(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context_of(ca_file: Path) -> ssl.SSLContext:
    try:
        # Reading a named pipe or a terminal could block for good.
        if ca_file.exists() and not ca_file.is_file():
            raise ConfigError([f"upstream.ca_file: {ca_file} is not a file"])
        context = ssl.create_default_context(cafile=str(ca_file))
    except ssl.SSLError:
        raise ConfigError([f"upstream.ca_file: {ca_file} {_NO_CERTIFICATE}"]) from None
    except OSError as exc:
        raise ConfigError([f"upstream.ca_file: {ca_file} cannot be read: {exc.strerror}"]) from None
    if not context.cert_store_stats()["x509"]:
        raise ConfigError([f"upstream.ca_file: {ca_file} {_NO_CERTIFICATE}"])
    return context


def certificate_reason(error: ssl.SSLCertVerificationError) -> str:
    """Say why a certificate was not accepted. The words name no host, since every client may see them."""
    match error.verify_code:
        case code if code == _EXPIRED:
            return "its TLS certificate has expired (or this machine's clock is wrong)"
        case code if code == _NOT_YET_VALID:
            return "its TLS certificate is not valid yet (or this machine's clock is wrong)"
        case code if code == _SELF_SIGNED:
            return f"its TLS certificate is self-signed; {_CA_ADVICE}"
        case code if code == _SELF_SIGNED_IN_CHAIN:
            return f"its TLS certificate was issued by an unknown authority (a self-signed one); {_CA_ADVICE}"
        case code if code in _UNKNOWN_ISSUER:
            return (
                f"its TLS certificate was issued by an unknown authority; {_CA_ADVICE}, or install the system's ca-certificates"
            )
        case code if code in _ANOTHER_NAME:
            return "its TLS certificate is for another name than the one in upstream.url"
        case _:
            return f"its TLS certificate was not accepted: {error.verify_message}"


def handshake_reason(error: BaseException) -> str:
    """Say why a TLS handshake failed."""
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if reason in {"wrong version number", "http request"}:
        return "it doesn't speak TLS at this port (is upstream.url http:// there?)"
    return f"its TLS handshake failed{f': {reason}' if reason else ''}"
