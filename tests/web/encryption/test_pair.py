"""A certificate and its key, as they come in files."""

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.web.encryption.pair import read_chain, read_pair
from tests.support.certificates import Authority, shown_by


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


def fault(certificate: Path, key: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_pair(certificate, key)
    [told] = caught.value.faults
    return told


def test_a_pair(authority: Authority) -> None:
    """In two files, in one, and with what issued it: good until the first of its certificates ends."""
    certificate, key = authority.issue()
    pair = read_pair(certificate, key)
    assert shown_by(pair.context) == ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert datetime.fromtimestamp(pair.validity.begin_s, UTC).year == 2020
    assert datetime.fromtimestamp(pair.validity.end_s, UTC).year == 2099
    assert pair.context.minimum_version is ssl.TLSVersion.TLSv1_2
    both = certificate.with_name("both.pem")
    both.write_text(f"for us\n{key.read_text()}{certificate.read_text()}\n{authority.path.read_text()}")
    one = read_pair(both, both)
    assert shown_by(one.context) == shown_by(pair.context)
    assert one.validity.end_s < pair.validity.end_s
    assert len(read_chain(both)) == 2


def test_what_cannot_be_used(authority: Authority, tmp_path: Path) -> None:
    """Each is told apart, by the setting and the file, in one sentence."""
    certificate, key = authority.issue()
    other, other_key = authority.issue("other")
    empty, damaged, folder = tmp_path / "empty", tmp_path / "damaged", tmp_path
    empty.touch()
    damaged.write_text(certificate.read_text().replace("A", "B"))
    assert (
        fault(certificate, other_key) == f"server.tls_key: {other_key} is not the key of the first certificate in {certificate}"
    )
    assert fault(tmp_path / "none", key) == f"server.tls_cert: {tmp_path / 'none'} is not there"
    assert fault(certificate, tmp_path / "none") == f"server.tls_key: {tmp_path / 'none'} is not there"
    assert fault(folder, key) == f"server.tls_cert: {folder} is not a file"
    for path in (empty, damaged, key):
        assert fault(path, key).startswith(f"server.tls_cert: {path} holds no certificate in PEM form")
    for path in (empty, other):
        assert fault(certificate, path).startswith(f"server.tls_key: {path} holds no private key in PEM form")
    assert fault(certificate, Path("/dev/null/x")).startswith("server.tls_key: /dev/null/x is not there")


@pytest.mark.parametrize("form", [["-traditional"], []], ids=["older", "PKCS 8"])
def test_a_passphrase(authority: Authority, form: list[str]) -> None:
    """Nobody is asked for it: what to do is told."""
    certificate, key = authority.issue()
    locked = authority.locked(key, *form)
    told = fault(certificate, locked)
    assert told.startswith(f"server.tls_key: {locked} is protected by a passphrase")
    assert "openssl pkey" in told


def test_a_key_that_is_too_small(authority: Authority, tmp_path: Path) -> None:
    """What OpenSSL refuses for its weakness is no damaged file."""
    certificate, key = tmp_path / "weak.pem", tmp_path / "weak.key"
    new = ["-newkey", "rsa:1024", "-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=weak"]
    subprocess.run(["openssl", "req", "-x509", *new], check=True, capture_output=True)  # noqa: S603, S607 -- the test's own
    assert authority.path.exists()
    assert fault(certificate, key) == f"server.tls_cert: {certificate} is too weak for this system: ee key too small"
