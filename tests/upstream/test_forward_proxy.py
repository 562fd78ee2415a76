"""Reaching the upstream by a forward proxy, `upstream.proxy`."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from proxy.standin import Standin, StandinConfig
from tests.support.certificates import Authority
from tests.support.processes import proxy_process, run
from tests.support.raw_upstream import encrypted
from tests.support.world import KEY, QUESTION, world

PASSWORD = "pa/ss:wörd@%"
LOGIN = "us%40er:pa%2Fss%3Aw%C3%B6rd%40%25"
BASIC = base64.b64encode(f"us@er:{PASSWORD}".encode()).decode()


@dataclass(slots=True, kw_only=True)
class Forward:
    """A small forward proxy. `heads` are those that it got, `instead` what it answers in place of connecting."""

    port: int = 0
    login: str | None = None
    instead: bytes | None = None
    silent: bool = False
    heads: list[str] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            await self._answer(head, reader, writer)
        writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.login is not None and f"Proxy-Authorization: Basic {self.login}\r\n" not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
        elif self.instead is not None:
            writer.write(self.instead)
            if self.silent:
                await reader.read()
        else:
            method, target, _ = head.split(" ", 2)
            place = target if method == "CONNECT" else target.removeprefix("http://").partition("/")[0]
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(place.rpartition(":")[2]))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
            else:
                far_writer.write(in_origin_form(head, place))
                await asyncio.gather(self._pass_on(place, reader, far_writer), copy(far_reader, writer))

    async def _pass_on(self, place: str, reader: asyncio.StreamReader, far_writer: asyncio.StreamWriter) -> None:
        """Pass on the further requests of a connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.heads.append(head)
                far_writer.write(in_origin_form(head, place))
        far_writer.close()


def in_origin_form(head: str, place: str) -> bytes:
    return head.replace(f"http://{place}", "", 1).encode()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while came := await reader.read(65_536):
            writer.write(came)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def forwarding(**settings: str | bytes | bool | None) -> AsyncIterator[Forward]:
    forward = Forward(**settings)  # type: ignore[arg-type]  # a test's own keywords
    server = await asyncio.start_server(forward.connected, "127.0.0.1", 0)
    forward.port = server.sockets[0].getsockname()[1]
    try:
        yield forward
    finally:
        server.close()


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
async def test_an_encrypted_upstream(tmp_path: Path, scheme: str) -> None:
    """It is reached through a tunnel by its name, which the proxy looks up; the key is for nobody but the upstream to see."""
    authority = Authority(tmp_path / "authority")
    heads: list[str] = []
    async with encrypted(authority.server(names="DNS:nowhere.invalid"), heads) as port, forwarding(login=BASIC) as forward:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": f"{scheme}://nowhere.invalid:{port}",
            "PLUTO_PROXY_UPSTREAM__CA_FILE": str(authority.path),
            "PLUTO_PROXY_UPSTREAM__PROXY": f"http://{LOGIN}@127.0.0.1:{forward.port}",
            "PLUTO_PROXY_CACHE__PATH": str(tmp_path / "cache" / "cache.sqlite"),
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        # A process of its own has the event loop that it is run with.
        async with proxy_process(**variables) as process, aiohttp.ClientSession() as session:
            for number in range(3):
                async with session.get(f"{process.url}{QUESTION}&stepMin={number}") as response:
                    assert response.status == 200, await response.text()
            await process.terminate()
        assert {head.split("\r\n")[0] for head in forward.heads} == {f"CONNECT nowhere.invalid:{port} HTTP/1.1"}
        seen = "".join(forward.heads)
        assert KEY not in seen
        assert "authorization: bearer" not in seen.lower()
        assert heads
        assert BASIC not in "".join(heads)
        assert "proxy_variables.ignored" not in process.log
        assert not any(secret in process.log for secret in (PASSWORD, LOGIN, BASIC, LOGIN.partition(":")[2]))


async def test_a_tunnel_is_used_again(tmp_path: Path) -> None:
    """From the very first on: one is made for all that is asked one after the other."""
    authority = Authority(tmp_path / "authority")
    async with encrypted(authority.server(names="DNS:nowhere.invalid")) as port, forwarding(login=BASIC) as forward:
        settings = {
            "upstream": f"https://nowhere.invalid:{port}",
            "upstream__ca_file": authority.path,
            "upstream__proxy": f"http://{LOGIN}@127.0.0.1:{forward.port}",
        }
        async with world(tmp_path, **settings) as running:  # type: ignore[arg-type]  # settings
            await running.parts.tenancy.settled()
            for number in range(3):
                assert (await running.get(f"{QUESTION}&stepMin={number}")).status == 200
        assert len(forward.heads) == 1


async def test_an_upstream_that_is_not_encrypted(tmp_path: Path) -> None:
    """It is asked for in the absolute form, each time on a connection; answers are what they are without a proxy."""
    targets = [f"{QUESTION}&stepMin={number}" for number in range(3)]
    async with forwarding(login=BASIC) as forward:
        async with world(tmp_path / "1") as running:
            directly = [(await running.get(target)).body for target in targets]
        async with world(tmp_path / "2", upstream__proxy=f"http://{LOGIN}@127.0.0.1:{forward.port}") as running:
            await running.parts.tenancy.settled()
            assert [(await running.get(target)).body for target in targets] == directly
            assert len(forward.heads) >= len(targets)
            for head in forward.heads:
                assert head.startswith(f"GET {running.upstream}/api/")
                assert f"Proxy-Authorization: Basic {BASIC}\r\n" in head


REASONS = {
    "refused": ("no connection to the proxy before it (upstream.proxy): it was refused", "upstream-failed"),
    "no address": ("the host name of the proxy before it (upstream.proxy) ", "upstream-failed"),
    "no login": ("the proxy before it (upstream.proxy) wants a user and a password, or other ones", "upstream-failed"),
    "another login": ("the proxy before it (upstream.proxy) wants a user and a password, or other ones", "upstream-failed"),
    "forbidden": ("the proxy before it (upstream.proxy) forbids to connect to it: it answered 403", "upstream-failed"),
    "not reached": ("the proxy before it (upstream.proxy) did not connect to it: it answered 504", "upstream-failed"),
    "closed": ("it, or the proxy before it, closed the connection without an answer", "upstream-failed"),
    "no HTTP": ("the upstream could not be read: ", "upstream-failed"),
    "silent": ("the upstream gave no complete answer within 0.5 s", "upstream-timeout"),
}
INSTEAD = {
    "forbidden": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nx@y:z",
    "not reached": b"HTTP/1.1 504 Gateway Timeout\r\n\r\n",
    "closed": b"",
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "silent": b"HTTP/1.1 200 OK\r\n",
}


@pytest.mark.parametrize("reason", REASONS)
async def test_it_is_told_what_is_wrong_with_it(tmp_path: Path, reason: str) -> None:
    """To the client, in the log and by /readyz; the password is told nobody."""
    told, code = REASONS[reason]
    login = {"no login": "", "another login": "us%40er:other@"}.get(reason, f"{LOGIN}@")
    async with forwarding(login=BASIC, instead=INSTEAD.get(reason), silent=reason == "silent") as forward:
        place = {"refused": "127.0.0.1:1", "no address": "nowhere.invalid:1"}.get(reason, f"127.0.0.1:{forward.port}")
        with capture_logs() as logs:
            settings = {"upstream__proxy": f"http://{login}{place}", "upstream__deadline_s": 0.5 if reason == "silent" else 25}
            async with world(tmp_path, upstream="https://nowhere.invalid", **settings) as running:  # type: ignore[arg-type]  # settings
                reply = await running.get()
                ready = (await running.get("/readyz")).body.decode()
        assert (reply.status, reply.json["code"]) == (504 if reason == "silent" else 502, code)
        (logged,) = [line["reason"] for line in logs if line["event"] == "fetch.failed"]
        for text in (reply.json["detail"], ready, logged):
            assert told in text
        everything = f"{reply.body!r} {ready} {logs}"
        assert not any(secret in everything for secret in (PASSWORD, LOGIN, BASIC, "other@", KEY))


async def test_credentials_that_are_wanted_for_an_upstream_that_is_not_encrypted(tmp_path: Path) -> None:
    """The 407 comes as an answer there: it is told as what it is, and is no answer to the question."""
    async with (
        forwarding(login=BASIC) as forward,
        world(tmp_path, upstream__proxy=f"http://127.0.0.1:{forward.port}") as running,
    ):
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "upstream-failed")
        assert "wants a user and a password, or other ones (upstream.proxy)" in reply.json["detail"]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
async def test_variables_of_others(tmp_path: Path, name: str) -> None:
    """A proxy that other programs would use is not used; the log says so at the start, and `check`, without its address."""
    async with Standin(StandinConfig()).serve() as upstream:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE__PATH": str(tmp_path / "cache" / "cache.sqlite"),
            name: f"http://{LOGIN}@127.0.0.1:1",
        }
        async with proxy_process(**variables) as process, aiohttp.ClientSession() as session:
            async with session.get(f"{process.url}{QUESTION}") as response:
                assert response.status == 200
            await process.terminate()
        line = next(line for line in process.lines if "proxy_variables.ignored" in line)
        assert name in line
        assert "set upstream.proxy" in line
        assert LOGIN not in process.log
        status, output, _ = await run("check", **variables)
        assert status == 0
        assert f"# {name} is ignored; set upstream.proxy" in output
        assert LOGIN not in output
