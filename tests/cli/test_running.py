"""Where commands find a running proxy."""

from pathlib import Path

import pytest

from proxy.cli.place import Place, place_of, url_of
from proxy.cli.running import Reply, told
from proxy.config import load
from proxy.config.model import Config
from proxy.errors import ConfigError


def config(listen: str) -> Config:
    return load(None, {"PLUTO_PROXY_LISTEN": listen, "PLUTO_PROXY_ACCESS__OPEN": "true"}).config


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:8787", "http://[::1]:8787"),
        ("[::1]:1", "http://[::1]:1"),
        ("10.0.0.7:2", "http://10.0.0.7:2"),
        ("proxy.example.com:3", "http://proxy.example.com:3"),
        ("127.0.0.1:0,[::]:4", "http://[::1]:4"),
        ("10.0.0.7:2,127.0.0.1:3", "http://10.0.0.7:2"),
        ("127.0.0.1:5,unix:/run/a,unix:/run/b", "unix:/run/a"),
    ],
)
def test_from_the_configuration(listen: str, url: str) -> None:
    """Every address is this machine's loopback."""
    assert url_of(config(listen)) == url


def test_a_port_that_nobody_knows() -> None:
    """Port 0 is any free one."""
    with pytest.raises(ConfigError, match="--url"):
        url_of(config("127.0.0.1:0"))


def test_what_is_said_counts(tmp_path: Path) -> None:
    """The argument before the environment before the configuration; the token's file before its variable."""
    environ = {"PLUTO_PROXY_URL": "https://b.example/", "PLUTO_PROXY_TOKEN": " ppt_b "}
    path = tmp_path / "token"
    path.write_text("ppt_a\n")
    here = config("127.0.0.1:1")
    assert place_of("http://a:1", path, environ, here) == Place(url="http://a:1", token="ppt_a")
    assert place_of(None, None, environ, here) == Place(url="https://b.example", token="ppt_b")
    assert place_of(None, None, {}, here) == Place(url="http://127.0.0.1:1")
    assert "ppt_a" not in repr(place_of(None, path, {}, here))


def test_a_unix_socket(tmp_path: Path) -> None:
    """It is named by its whole path, and no certificate plays a part, whatever the configuration has."""
    for url in ("unix:/run/proxy.sock", "unix:/run/proxy.sock/"):
        assert place_of(url, None, {}, Config()).url == "unix:/run/proxy.sock"
    for url in ("unix:", "unix:proxy.sock", "unix:/", "unix:///run/../"):
        with pytest.raises(ConfigError, match="unix:/run"):
            place_of(url, None, {}, Config())
    variables = {"PLUTO_PROXY_LISTEN": "unix:/run/a", "PLUTO_PROXY_SERVER__TLS_CERT": str(tmp_path / "none")}
    there = load(None, {**variables, "PLUTO_PROXY_SERVER__TLS_KEY": str(tmp_path / "none")}).config
    assert place_of(None, None, {}, there) == Place(url="unix:/run/a")


def test_a_certificate_that_cannot_be_read(tmp_path: Path) -> None:
    """Where the proxy's own is what is believed it must be there."""
    tls = {"PLUTO_PROXY_SERVER__TLS_CERT": str(tmp_path / "none"), "PLUTO_PROXY_SERVER__TLS_KEY": str(tmp_path / "none")}
    there = load(None, {"PLUTO_PROXY_LISTEN": "127.0.0.1:1", **tls}).config
    assert url_of(there) == "https://127.0.0.1:1"
    with pytest.raises(ConfigError, match="is not there"):
        place_of(None, None, {}, there)
    assert place_of(None, None, {}, there, ca_file=tmp_path).certificate is None
    assert place_of("https://a", None, {}, there) == Place(url="https://a")


@pytest.mark.parametrize("url", ["ftp://a", "a:1", "http://", "http://u:p@a", "http://a/?q=1", "http://[a"])
def test_what_is_no_address(url: str) -> None:
    """It is refused before anything is sent; a password in it isn't shown."""
    with pytest.raises(ConfigError) as caught:
        place_of(url, None, {}, Config())
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff", b"x" * 10_001, b"a\nb", "ü".encode()])
def test_what_is_no_token(tmp_path: Path, content: bytes) -> None:
    """A file without one, or with more; and one that isn't there."""
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="token"):
        place_of(None, path, {}, Config())
    with pytest.raises(ConfigError, match="cannot be read"):
        place_of(None, tmp_path / "none", {}, Config())


def reply(status: int, body: bytes) -> Reply:
    return Reply(status=status, headers={}, body=body)


def test_what_a_refusal_says() -> None:
    """One line, which a terminal may be shown, and with what to do about a token."""
    assert told(reply(403, b'{"detail": "no\\u001b[2J way\\nout"}')) == "the proxy answers 403: no\\x1b[2J way\\nout"
    assert "PLUTO_PROXY_TOKEN" in told(reply(401, b'{"detail": "a token"}'))
    assert "is it a pluto-proxy" in told(reply(502, b"<html>"))
    assert told(reply(404, b'{"error": "Run not found"}')) == "the proxy answers 404: Run not found"
