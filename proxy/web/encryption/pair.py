"""A certificate with its private key, read from their files: what a TLS server needs."""

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from proxy.core.access.validity import Validity, read_validity
from proxy.errors import ConfigError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_MOST_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a server needs to prove who it is, and when its certificate and all that came with it are good."""

    context: ssl.SSLContext
    validity: Validity


class _PassphraseNeededError(Exception):
    pass


def read_pair(certificate: Path, key: Path) -> Pair:
    """Return the pair in two files in PEM form, which may be one file. Raises ConfigError that says what is wrong with it."""
    chain = read_chain(certificate)
    _check_file("tls_key", key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except _PassphraseNeededError:
        advice = "write it without one (`openssl pkey -in FILE -out ANOTHER`, mode 0600)"
        why = "is protected by a passphrase, and nobody is there to type it"
        raise ConfigError([f"server.tls_key: {key} {why}; {advice}"]) from None
    except ssl.SSLError as exc:
        raise ConfigError([_reason(exc, certificate, key)]) from None
    except OSError as exc:
        raise ConfigError([f"server.tls_key: {key} cannot be read: {exc.strerror}"]) from None
    dates = [read_validity(one) for one in chain]
    validity = Validity(begin_s=max(date.begin_s for date in dates), end_s=min(date.end_s for date in dates))
    return Pair(context=context, validity=validity)


def read_chain(path: Path) -> list[bytes]:
    """Return the certificates in a file in PEM form, each in DER form: the server's own comes first. Raises ConfigError."""
    _check_file("tls_cert", path)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("latin-1")
        chain = [ssl.PEM_cert_to_DER_cert(one) for one in _CERTIFICATE.findall(text)]
        for one in chain:
            read_validity(one)
    except OSError as exc:
        raise ConfigError([f"server.tls_cert: {path} cannot be read: {exc.strerror}"]) from None
    except ValueError:
        chain = []
    if not chain:
        faulty = "holds no certificate in PEM form (-----BEGIN CERTIFICATE-----), or a damaged one"
        raise ConfigError([f"server.tls_cert: {path} {faulty}"])
    return chain


def _refuse() -> str:
    # OpenSSL itself would ask the terminal.
    raise _PassphraseNeededError


def _check_file(setting: str, path: Path) -> None:
    """Raise ConfigError for what isn't a file: reading a named pipe or a terminal could block for good."""
    try:
        if path.is_file():
            return
        reason = "is not a file" if path.exists() else "is not there"
    except OSError as exc:
        reason = f"cannot be read: {exc.strerror}"
    raise ConfigError([f"server.{setting}: {path} {reason}"])


def _reason(error: ssl.SSLError, certificate: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"server.tls_key: {key} is not the key of the first certificate in {certificate}"
    if error.reason in {"EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"}:
        return f"server.tls_cert: {certificate} is too weak for this system: {error.reason.replace('_', ' ').lower()}"
    return f"server.tls_key: {key} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----), or a damaged one"
