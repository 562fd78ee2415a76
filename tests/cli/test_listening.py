"""Serving IPv4 and IPv6 on one address: who is who there."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.app import open_parts
from proxy.app.parts import Parts
from proxy.cli.listening import listening
from proxy.cli.serve import running
from proxy.config import KeySource, load
from proxy.standin import Row, Standin
from tests.support.processes import run
from tests.support.world import KEY, QUESTION

V4, V6 = "127.0.0.1", "::1"


def _has(address: str) -> bool:
    with socket.socket(socket.AF_INET6) as trying:
        try:
            trying.bind((address, 0))
        except OSError:
            return False
    return True


pytestmark = pytest.mark.skipif(not (socket.has_dualstack_ipv6() and _has(V6)), reason="this machine has no IPv6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dual:
    """A proxy that listens on `[::]`."""

    parts: Parts
    port: int

    async def connect(self, address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(address, self.port)

    async def ask(
        self, address: str, target: str = QUESTION, *, method: str = "GET", body: str = "", **fields: str
    ) -> tuple[int, str]:
        """Send a request to an address and return the status and the body."""
        reader, writer = await self.connect(address)
        host = f"[{address}]" if ":" in address else address
        sent = {"Host": f"{host}:{self.port}", "Connection": "close", "Content-Length": str(len(body)), **fields}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in sent.items()]
        writer.write("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", body]).encode())
        async with asyncio.timeout(10):
            head, _, told = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        return int(head.split(" ", 2)[1]), told


@asynccontextmanager
async def dual(folder: Path, host: str = "[::]", **settings: str) -> AsyncIterator[Dual]:
    """Run a proxy that listens on every address of both kinds."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step / 7) for step in range(10))
    async with standin.serve() as upstream:
        variables = {
            "PLUTO_PROXY_LISTEN": f"{host}:0",
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(folder / "cache" / "c.sqlite"),
            "PLUTO_PROXY_ACCESS__TRUSTED_PROXIES": "",
            **{f"PLUTO_PROXY_{name.upper()}": value for name, value in settings.items()},
        }
        if "access__networks" not in settings:
            variables["PLUTO_PROXY_ACCESS__OPEN"] = "true"
        config = load(None, variables).config
        async with (
            open_parts(config, KeySource(value=KEY)) as parts,
            running(parts) as runner,
            listening(runner, parts.web.server, config),
        ):
            yield Dual(parts=parts, port=runner.addresses[0][1])


@pytest.mark.parametrize("host", ["[::]", "[0::0]", "[0:0:0:0:0:0:0:0]"])
async def test_every_address_means_of_both_kinds(tmp_path: Path, host: str) -> None:
    """However it is spelled, and whatever the system's default is: IPv4 and IPv6 are answered by one address."""
    with capture_logs() as logs:
        async with dual(tmp_path, host) as proxy:
            assert (await proxy.ask(V4))[0] == (await proxy.ask(V6))[0] == 200
    assert [line["url"] for line in logs if line["event"] == "server.started"] == [f"http://[::]:{proxy.port}"]


async def test_ipv4_in_ipv6s_form_to_listen_on(tmp_path: Path) -> None:
    """It is the IPv4 address: loopback needs nobody's leave, and is what is listened on."""
    with capture_logs() as logs:
        async with dual(tmp_path, "[::ffff:127.0.0.1]") as proxy:
            assert (await proxy.ask(V4))[0] == 200
            with pytest.raises(OSError, match="Connect call failed"):
                await proxy.connect(V6)
    assert [line["url"] for line in logs if line["event"] == "server.started"] == [f"http://127.0.0.1:{proxy.port}"]


@pytest.mark.parametrize(
    ("networks", "answered"),
    [
        ("127.0.0.0/8", {V4}),
        ("::ffff:127.0.0.1", {V4}),
        ("::1", {V6}),
        ("::/0", {V6}),
        ("0.0.0.0/0", {V4}),
        ("10.0.0.0/8", set()),
        ("127.0.0.1,::1", {V4, V6}),
    ],
)
async def test_networks(tmp_path: Path, networks: str, answered: set[str]) -> None:
    """A client by IPv4 is in networks of IPv4 and no others, and is told so in its usual form."""
    async with dual(tmp_path, access__networks=networks) as proxy:
        for address in (V4, V6):
            status, told = await proxy.ask(address)
            assert status == (200 if address in answered else 403)
            if status == 403:
                assert f"comes from {address}," in json.loads(told)["detail"]


async def test_trusted_proxies(tmp_path: Path) -> None:
    """A reverse proxy that connects by IPv4 is believed where its IPv4 address is listed, and nobody else is."""
    settings = {"access__networks": "198.51.100.0/24", "access__trusted_proxies": "127.0.0.1"}
    async with dual(tmp_path, **settings) as proxy:
        assert (await proxy.ask(V4, X_Forwarded_For="198.51.100.7"))[0] == 200
        assert (await proxy.ask(V4, X_Forwarded_For="::ffff:198.51.100.7"))[0] == 200
        assert (await proxy.ask(V4, X_Forwarded_For="203.0.113.1"))[0] == 403
        assert (await proxy.ask(V6, X_Forwarded_For="198.51.100.7"))[0] == 403


async def test_loopback_manages(tmp_path: Path) -> None:
    """This machine is this machine by either kind, and the log has the address in its usual form."""
    with capture_logs() as logs:
        async with dual(tmp_path) as proxy:
            for address in (V4, V6):
                purge = {"method": "POST", "body": '{"run": 1}', "Content_Type": "application/json"}
                assert (await proxy.ask(address, "/admin/purge", **purge))[0] == 200
    assert [line["address"] for line in logs if line["event"] == "cache.purged"] == [V4, V6]


async def test_connections_of_one_address(tmp_path: Path) -> None:
    """Each address has as many as may be, IPv4 and IPv6 apart; who is refused is logged in the usual form."""
    with capture_logs() as logs:
        async with dual(tmp_path, server__max_connections_per_address="2") as proxy:
            for address in (V4, V6):
                kept = [await proxy.connect(address) for _ in range(3)]
                with suppress(ConnectionError):
                    async with asyncio.timeout(10):
                        assert await kept[2][0].read() == b""
                for reader, writer in kept[:2]:
                    writer.write(f"GET /livez HTTP/1.1\r\nHost: {V4}\r\n\r\n".encode())
                    async with asyncio.timeout(10):
                        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                for _, writer in kept:
                    writer.close()
    assert [line["address"] for line in logs if line["event"] == "connection.refused"] == [V4, V6]


async def test_the_shortest_way_is_open_to_both(tmp_path: Path) -> None:
    """Requests that come again are recognised by their bytes, by either kind of address."""
    async with dual(tmp_path) as proxy:
        for address in (V4, V6):
            reader, writer = await proxy.connect(address)
            before = proxy.parts.web.leases.answered
            for _ in range(5):
                writer.write(f"GET {QUESTION} HTTP/1.1\r\nHost: {V4}\r\n\r\n".encode())
                async with asyncio.timeout(10):
                    head = await reader.readuntil(b"\r\n\r\n")
                    [length] = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
                    await reader.readexactly(int(length.split(b":")[1]))
            assert proxy.parts.web.leases.answered - before >= 2
            writer.close()


async def test_a_host_in_ipv6s_form(tmp_path: Path) -> None:
    """Loopback is loopback in a Host, too."""
    async with dual(tmp_path) as proxy:
        assert (await proxy.ask(f"::ffff:{V4}"))[0] == 200


async def test_a_host_that_cannot_be_a_name() -> None:
    """Where the address to listen on cannot even be looked up, one line says so."""
    settings = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_ACCESS__OPEN": "true", "PLUTO_PROXY_LOG__LEVEL": "error"}
    status, _, errors = await run("serve", PLUTO_PROXY_LISTEN=f"{'a' * 64}.example:0", **settings)
    assert status == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].endswith("no host can have this name; set server.listen")
