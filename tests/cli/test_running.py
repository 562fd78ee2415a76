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
