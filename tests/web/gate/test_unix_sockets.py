"""Clients of Unix sockets: one client called `unix`, which lists of networks can name."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.support.tokens import OURS, TEAM, bearer, guarded, targets
from tests.support.wire import request
from tests.support.world import World, world


def at(folder: Path) -> str:
    return f"unix:{folder / 'proxy.sock'}"


@pytest.mark.parametrize(
    ("networks", "trusted", "forwarded", "status"),
    [
        ("", "", None, 200),
        ("unix", "", None, 200),
        ("10.0.0.0/8,unix", "", "11.1.1.1", 200),
        ("127.0.0.0/8,::1", "", None, 403),
        ("0.0.0.0/0,::/0", "", "127.0.0.1", 403),
        ("10.0.0.0/8", "unix", "10.1.1.1", 200),
        ("10.0.0.0/8", "unix", "10.1.1.1, 198.51.100.7", 403),
        ("10.0.0.0/8", "unix,198.51.100.7", "10.1.1.1, 198.51.100.7", 200),
        ("10.0.0.0/8", "unix", None, 403),
        ("10.0.0.0/8", "127.0.0.1", "10.1.1.1", 403),
        # Nobody is on this machine by saying so.
        ("unix", "unix", "unix", 403),
        ("unix", "unix", "unix:", 403),
        ("unix", "unix", None, 200),
    ],
)
async def test_networks(tmp_path: Path, networks: str, trusted: str, forwarded: str | None, status: int) -> None:
    """They are refused by lists that don't name them, hits included, and believed about others only where that is said."""
    settings = {"access__networks": networks, "access__trusted_proxies": trusted}
    async with world(tmp_path, server__listen=at(tmp_path), **settings) as running:  # type: ignore[arg-type]  # they are settings
        headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
        for _ in range(4):
            reply = await running.get(**headers)
            assert reply.status == status
        assert running.metrics_calls == (status == 200)
        if status == 403:
            assert reply.json["code"] == "network-refused"
            assert ("comes from a Unix socket," in reply.json["detail"]) == (trusted in {"", "127.0.0.1"} or forwarded is None)
        assert (await running.get("/readyz", **headers)).status == 200


async def test_they_say_unix_by_tcp(tmp_path: Path) -> None:
    """A client of an address doesn't become one of a Unix socket by what it sends."""
    async with world(tmp_path, access__networks="unix", access__trusted_proxies="127.0.0.1") as running:
        for forwarded in ({}, {"X_Forwarded_For": "unix"}, {"X_Forwarded_For": "unix:"}):
            assert (await running.get(**forwarded)).status == 403


async def purge(running: World, **headers: str) -> int:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{running.url}/admin/purge"
    async with running.session.post(url, json={"run": 1}, headers=names) as response:
        return response.status


async def test_who_manages(tmp_path: Path) -> None:
    """They are on this machine, unless something was forwarded; with tokens it takes one, as everywhere."""
    async with world(tmp_path, server__listen=at(tmp_path)) as running:
        with capture_logs() as lines:
            assert await purge(running) == 200
        assert [line["address"] for line in lines if line["event"] == "cache.purged"] == ["unix"]
        for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP", "X_Forwarded_Proto"):
            assert await purge(running, **{header: "for=127.0.0.1"}) == 403
    async with guarded(tmp_path / "guarded", server__listen=at(tmp_path)) as running:
        assert await purge(running) == 401
        assert await purge(running, **bearer(TEAM)) == 403
        assert (await running.get(targets(OURS, "ours")[0], **bearer(TEAM))).status == 200


async def test_they_are_one_client(tmp_path: Path) -> None:
    """All of them share one client's rate, and one address's connections."""
    settings = {"access__client_rate_per_s": 0.001, "access__client_burst": 3, "server__max_connections_per_address": 2}
    async with world(tmp_path, server__listen=at(tmp_path), **settings) as running:  # type: ignore[arg-type]  # they are settings
        statuses = [(await running.get()).status for _ in range(5)]
        assert statuses == [200, 200, 200, 503, 503]
        with capture_logs() as lines:
            wires = [await asyncio.open_unix_connection(str(tmp_path / "proxy.sock")) for _ in range(2)]
            async with asyncio.timeout(10):
                while not refused(lines):  # noqa: ASYNC110 -- no event tells it
                    await asyncio.sleep(0.001)
            for _, writer in wires:
                writer.close()
        assert refused(lines) == ["unix"]


def refused(lines: list[EventDict]) -> list[str]:
    """From where connections were refused, by the log."""
    return [line["address"] for line in lines if line["event"] == "connection.refused"]


async def test_the_shortest_way_is_open_to_them(tmp_path: Path) -> None:
    """Requests that come again are recognised by their bytes, and written to the socket itself."""

    async with world(tmp_path, server__listen=at(tmp_path)) as running:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "proxy.sock"))
        before = running.parts.web.leases.answered
        for _ in range(6):
            writer.write(request())
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                [length] = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
                await reader.readexactly(int(length.split(b":")[1]))
        assert running.parts.web.leases.answered - before >= 2
        writer.close()
