"""Upstreams with certificates: whom the proxy believes, and what it says of those whom it doesn't."""

import ssl
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.errors import ConfigError
from proxy.standin import Fault, FaultKind
from proxy.upstream import tls
from tests.support.certificates import Authority
from tests.support.raw_upstream import encrypted
from tests.support.world import KEY, world


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


async def test_a_companys_own_authority(tmp_path: Path, authority: Authority) -> None:
    """Who is certified by one of those in `upstream.ca_file` is believed, be there comments in any script in the file."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("# Größte Behörde\n" + authority.path.read_text(), encoding="utf-8")
    async with (
        encrypted(authority.server()) as port,
        world(tmp_path, upstream=f"https://localhost:{port}", upstream__ca_file=bundle) as running,
    ):
        assert (await running.get()).status == 200
        assert (await running.get("/readyz")).body == b"ok\n"


async def test_it_takes_the_place_of_the_systems(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE counts where `upstream.ca_file` isn't set, and not where it is."""
    other = Authority(tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    async with encrypted(authority.server()) as port:
        url = f"https://localhost:{port}"
        async with world(tmp_path / "1", upstream=url) as running:
            assert (await running.get()).status == 200
        async with world(tmp_path / "2", upstream=url, upstream__ca_file=other.path) as running:
            assert (await running.get()).status == 502


REASONS = {
    "self-signed": "certificate is self-signed; set upstream.ca_file",
    "unknown issuer": "issued by an unknown authority; set upstream.ca_file",
    "expired": "certificate has expired",
    "not yet": "is not valid yet",
    "another name": "is for another name than the one in upstream.url",
    "no TLS": "doesn't speak TLS at this port",
    "no common cipher": "alert handshake failure",
    "closed": "no connection: it was ",
}


def context_of(reason: str, folder: Path, authority: Authority) -> ssl.SSLContext | bytes:
    match reason:
        case "self-signed":
            return authority.self_signed()
        case "unknown issuer":
            return Authority(folder / "unknown").server()
        case "expired" | "not yet":
            return authority.server(age=reason)
        case "another name":
            return authority.server(names="DNS:other.example.com")
        case "no TLS":
            return b"HTTP/1.1 400 Bad Request\r\n\r\n"
        case "no common cipher":
            return bytes.fromhex("15 0303 0002 02 28")
        case _:
            return b""


@pytest.mark.parametrize("reason", REASONS)
async def test_it_is_told_why(tmp_path: Path, authority: Authority, reason: str) -> None:
    """To the client, in the log and by /readyz until a call comes through again; neither key nor host stands there."""
    async with encrypted(context_of(reason, tmp_path, authority)) as port:
        with capture_logs() as logs:
            async with world(tmp_path, upstream=f"https://localhost:{port}", upstream__ca_file=authority.path) as running:
                reply = await running.get()
                assert (reply.status, reply.json["code"]) == (502, "upstream-failed")
                ready = (await running.get("/readyz")).body.decode()
                verbose = (await running.get("/readyz?verbose")).json
        (logged,) = [line["reason"] for line in logs if line["event"] == "fetch.failed"]
        for told in (reply.json["detail"], ready, verbose["upstream"]["unreachable"], logged):
            assert REASONS[reason] in told
            assert not any(secret in told for secret in (KEY, "localhost", "example.com"))


async def test_it_is_told_no_longer_once_a_call_comes_through(tmp_path: Path) -> None:
    """Whatever the upstream answers then, be it a refusal."""
    async with world(tmp_path, freshness__negative_s=0) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.CUT_HEADERS))
        assert (await running.get()).status == 502
        assert b"the last call failed: the upstream could not be read: it closed" in (await running.get("/readyz")).body
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        assert (await running.get()).status == 502
        assert b"the last call failed" not in (await running.get("/readyz")).body


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds no certificates"),
        (b"\n", "holds no certificates"),
        (b"\0\xff garbage", "holds no certificates"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "or a damaged one"),
        ("key", "holds no certificates"),
        ("cut", "or a damaged one"),
        ("revocations", "holds no certificates"),
    ],
)
async def test_a_file_that_cannot_be_used(tmp_path: Path, authority: Authority, content: bytes | str | None, told: str) -> None:
    """It is named, with what is wrong with it: what it stood for is not replaced by anything else."""
    path = tmp_path / "ca.pem"
    whole = authority.path.read_bytes()
    made = {
        "key": authority.key.read_bytes(),
        "cut": whole + whole[: len(whole) // 2],
        "revocations": authority.revocations(),
    }
    if content is not None:
        path.write_bytes(made[content] if isinstance(content, str) else content)
    with pytest.raises(ConfigError, match=told) as caught:
        tls.ssl_context(path)
    assert str(caught.value).startswith(f"upstream.ca_file: {path} ")
    with pytest.raises(ConfigError, match="is not a file"):
        tls.ssl_context(Path("/dev/null"))
