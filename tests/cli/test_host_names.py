"""A host name to listen on: all addresses that it has, as far as this machine has them."""

import asyncio
import errno
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.app import open_parts
from proxy.cli.listening import listening
from proxy.cli.serve import running
from proxy.config import KeySource, load
from tests.support.ports import held_port
from tests.support.world import KEY

ABSENT = (socket.AF_INET, ("192.0.2.1", 0))
LOOPBACK, ANOTHER = (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0))


@pytest.mark.parametrize(
    ("found", "hosts"),
    [
        ([LOOPBACK], ["127.0.0.1"]),
        ([LOOPBACK, LOOPBACK, ANOTHER], ["127.0.0.1", "127.0.0.2"]),
        ([ABSENT, LOOPBACK], ["127.0.0.1"]),
        ([ANOTHER, ABSENT], ["127.0.0.2"]),
        ([ABSENT], None),
    ],
)
async def test_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[tuple[int, tuple[str, int]]], hosts: list[str] | None
) -> None:
    """Those that it doesn't have, such as IPv6 where there is none, are passed over; if none is left, it is told why."""
    config = load(None, {"PLUTO_PROXY_LISTEN": "localhost:0", "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite")}).config

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert (host, port) == ("localhost", 0)
        return [(family, socket.SOCK_STREAM, 6, "", place) for family, place in found]

    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(open_parts(config, KeySource(value=KEY)))
        runner = await stack.enter_async_context(running(parts))
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        if hosts is None:
            with pytest.raises(OSError, match=r"cannot listen on localhost:0: .*this machine has no such address"):
                await stack.enter_async_context(listening(runner, parts.web.server, config))
            assert not runner.sites
        else:
            opened = await stack.enter_async_context(listening(runner, parts.web.server, config))
            assert [one.socket.getsockname()[0] for one in opened] == hosts


async def test_one_that_is_taken_closes_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a name's addresses, too, all are opened or none."""
    with socket.create_server(("127.0.0.2", 0)) as busy, held_port() as free_port:
        port = busy.getsockname()[1]
        variables = {"PLUTO_PROXY_LISTEN": "localhost:1", "PLUTO_PROXY_CACHE": str(tmp_path / "c" / "c.sqlite")}
        config = load(None, variables).config

        async def getaddrinfo(*_: object, **__: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
            places = [("127.0.0.1", free_port), ("127.0.0.2", port)]
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

        async with open_parts(config, KeySource(value=KEY)) as parts, running(parts) as runner:
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
            with pytest.raises(OSError, match="something listens there already"):
                async with listening(runner, parts.web.server, config):
                    pass
        with socket.socket() as trying:
            assert trying.connect_ex(("127.0.0.1", free_port)) == errno.ECONNREFUSED
