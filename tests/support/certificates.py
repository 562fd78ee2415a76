"""Certificates made for a test, by the openssl command."""

import ssl
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.support.programs import need

_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[server]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
subjectAltName = {names}
"""
_AGES = {"now": ("20200101000000Z", "20990101000000Z"), "expired": ("20200101000000Z", "20200102000000Z")}
_AGES["not yet"] = ("20980101000000Z", "20990101000000Z")
_AGES["soon over"] = ("20200101000000Z", (datetime.now(UTC) + timedelta(days=5)).strftime("%Y%m%d%H%M%SZ"))


class Authority:
    """Issues certificates; `path` is its own. It takes the openssl command."""

    def __init__(self, folder: Path) -> None:
        need("openssl")
        folder.mkdir()
        (folder / "index").touch()
        self._folder = folder
        self.path = folder / "authority.pem"
        self.key = folder / "authority.key"
        self._self_signed(self.key, self.path, "authority", self._config("DNS:none"))

    @property
    def trusted(self) -> ssl.SSLContext:
        """What a client takes that believes this authority and no other."""
        return ssl.create_default_context(cafile=self.path)

    def server(self, *, names: str = "DNS:localhost,IP:127.0.0.1", age: str = "now") -> ssl.SSLContext:
        """Return what a server needs that is certified by this authority."""
        return _context(*self.issue(names=names, age=age))

    def issue(self, name: str = "server", *, names: str = "DNS:localhost,IP:127.0.0.1", age: str = "now") -> tuple[Path, Path]:
        """Return the files of a new certificate, and of its key; those of the one before with the same `name` are replaced."""
        key, request, certificate = (self._folder / f"{name}.{end}" for end in ("key", "csr", "pem"))
        config = self._config(names)
        self._run("req", "-new", *self._new_key(key), "-subj", "/CN=server", "-config", str(config), "-out", str(request))
        begin, end = _AGES[age]
        issued = ["-in", str(request), "-out", str(certificate), "-startdate", begin, "-enddate", end, "-extensions", "server"]
        signed = ["-cert", str(self.path), "-keyfile", str(self.key), "-config", str(config)]
        self._run("ca", "-batch", "-notext", *issued, *signed)
        return certificate, key

    def locked(self, key: Path, *options: str) -> Path:
        """Return the file of a key with a passphrase."""
        path = key.with_suffix(".locked")
        self._run("pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(path), *options)
        return path

    def revocations(self) -> bytes:
        """Return the list of what was revoked: no certificate, but PEM all the same."""
        path = self._folder / "revoked.pem"
        signed = ["-cert", str(self.path), "-keyfile", str(self.key), "-config", str(self._config("DNS:none"))]
        self._run("ca", "-gencrl", "-crldays", "2", *signed, "-out", str(path))
        return path.read_bytes()

    def self_signed(self) -> ssl.SSLContext:
        """Return what a server needs that nobody certified but itself."""
        key, certificate = self._folder / "self.key", self._folder / "self.pem"
        self._self_signed(key, certificate, "server", self._config("DNS:localhost,IP:127.0.0.1"))
        return _context(certificate, key)

    def _config(self, names: str) -> Path:
        path = self._folder / "openssl.cnf"
        path.write_text(_CONFIG.format(folder=self._folder, names=names))
        return path

    def _self_signed(self, key: Path, certificate: Path, extensions: str, config: Path) -> None:
        named = ["-subj", "/CN=itself", "-config", str(config), "-extensions", extensions, "-days", "2"]
        self._run("req", "-x509", *self._new_key(key), *named, "-out", str(certificate))

    @staticmethod
    def _new_key(path: Path) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]

    @staticmethod
    def _run(*arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, check=False, text=True)  # noqa: S603, S607 -- the test's own
        assert done.returncode == 0, done.stderr


def shown_by(server: ssl.SSLContext) -> bytes:
    """Shake hands with a server; return the certificate that it shows, in DER form."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = trusting.wrap_bio(to_client, to_server)
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    # The client's hello, the server's answer, and the end of it on both sides.
    for side in (asking, answering, asking, answering):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    shown = asking.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
