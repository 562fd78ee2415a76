"""Addresses to listen on: one, or a list."""

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import load
from proxy.config.addresses import TcpAddress, UnixAddress, read_address, read_addresses
from proxy.config.load import LoadedConfig
from proxy.config.render import render
from proxy.errors import ConfigError

PORTS = st.integers(0, 65_535)
NAMES = st.from_regex(r"[a-z]{1,9}", fullmatch=True).filter(lambda name: name != "unix")
HOSTS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map("[{}]".format), NAMES)
PATHS = st.from_regex(r"(/[A-Za-z0-9._-]{1,20}){1,4}", fullmatch=True).filter(lambda path: not path.endswith(("/.", "/..")))
TEXTS = st.one_of(st.builds("{}:{}".format, HOSTS, PORTS), PATHS.map("unix:{}".format))


@given(TEXTS)
def test_what_is_read_is_what_is_shown(text: str) -> None:
    """An address's text is that of the address again; whether others can reach it is told by the IP address."""
    address = read_address(text)
    assert read_address(str(address)) == address
    match address:
        case UnixAddress():
            assert address.is_local
        case TcpAddress(host=host):
            try:
                found = ipaddress.ip_address(host)
            except ValueError:
                assert not address.is_unspecified
                assert address.is_local == (host == "localhost")
            else:
                mapped = getattr(found, "ipv4_mapped", None)
                assert address.is_local == (mapped or found).is_loopback
                assert address.is_unspecified == found.is_unspecified


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_lists(texts: list[str]) -> None:
    """In their order, whichever way they are set; none may be named twice, in whatever spelling."""
    addresses = [read_address(text) for text in texts]
    if len(set(addresses)) < len(addresses):
        with pytest.raises(ValueError, match="more than once"):
            read_addresses(texts)
        return
    assert read_addresses(texts) == tuple(addresses)
    loaded = load(None, {"PLUTO_PROXY_LISTEN": " , ".join(texts), "PLUTO_PROXY_ACCESS__OPEN": "true"})
    assert loaded.config.server.addresses == tuple(addresses)


def read(folder: Path, text: str) -> LoadedConfig:
    path = folder / "proxy.toml"
    path.write_text(f"[access]\nopen = true\n[server]\n{text}\n")
    return load(path, {})


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ('listen = "127.0.0.1:1"', ["127.0.0.1:1"]),
        ('listen = ["127.0.0.1:1"]', ["127.0.0.1:1"]),
        ('listen = ["127.0.0.1:1", "unix:/run/a,b c"]', ["127.0.0.1:1", "unix:/run/a,b c"]),
        ('listen = ["[::ffff:127.0.0.1]:1", "[0::0]:2"]', ["127.0.0.1:1", "[::]:2"]),
    ],
)
def test_in_a_file(tmp_path: Path, text: str, listen: list[str]) -> None:
    """One address or a list; what `check` prints can be read again."""
    loaded = read(tmp_path, text)
    assert list(map(str, loaded.config.server.addresses)) == listen
    (tmp_path / "again.toml").write_text(render(loaded))
    assert load(tmp_path / "again.toml", {}).config == loaded.config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen = []", "names no address"),
        ("listen = 8787", "server.listen"),
        ('listen = ["127.0.0.1:1", 2]', "server.listen.1"),
        ('listen = ["127.0.0.1:1", "127.0.0.1"]', "'127.0.0.1' must be HOST:PORT"),
        ('listen = ["127.0.0.1:1", "[::ffff:127.0.0.1]:1"]', "names 127.0.0.1:1 more than once"),
        ('listen = "unix:run/a"', "by its whole path"),
        ('listen = "unix:/run/a/.."', "by its whole path"),
        ('listen = "unix:@abstract"', "by its whole path"),
        ('listen = "unix:/run/a\\n"', "by its whole path"),
        (f'listen = "unix:/{"a" * 107}"', "at most 107 bytes"),
        (f'listen = "unix:/{"ä" * 60}"', "at most 107 bytes"),
        ('socket_mode = "660 "', "three octal digits"),
        ('socket_mode = "0680"', "three octal digits"),
        ("socket_mode = 0o660", "server.socket_mode"),
        ('tls_cert = "/a"', "belong together"),
        ('tls_key = "/a"', "belong together"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    """Each in one sentence, which names the setting."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    [fault] = caught.value.faults
    assert fault.startswith("server")
    assert expected in fault


@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
def test_each_address_is_looked_at(texts: list[str]) -> None:
    """Without a word about who may ask, exactly those are refused that others can reach."""
    exposed = [text for text in texts if not read_address(text).is_local]
    try:
        load(None, {"PLUTO_PROXY_LISTEN": ",".join(texts)})
    except ConfigError as exc:
        found = [fault.split(" ")[1] for fault in exc.faults if "can be reached by others" in fault]
        assert found == exposed
    else:
        assert not exposed
