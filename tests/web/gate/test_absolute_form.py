"""Targets in the absolute form (RFC 9112 section 3.2.2): judged by their own authority, and answered as any other."""

import asyncio
from pathlib import Path

import pytest

from tests.support.tokens import ALL, bearer, guarded
from tests.support.wire import LARGE, MIDDLE, Wire, request, watched

NAMED = "metrics.example.org"


async def test_it_is_the_same_question(tmp_path: Path) -> None:
    """One entry serves both forms, each spelling of the scheme and of a name; ordinarily, the fast way, and by bytes."""
    async with watched(tmp_path, server__allowed_hosts=NAMED) as seen:
        expected = await seen.warm(request())
        for host in ("127.0.0.1", "127.0.0.1:8787", "localhost", "[::1]:1", NAMED, f"{NAMED.upper()}:80", f"{NAMED}."):
            for scheme in ("http", "HTTP", "hTTp"):
                raw = request(f"{scheme}://{host}{LARGE}")
                assert (await seen.ordinary(raw)).told == expected.told
                assert (await seen.warm(raw)).told == expected.told
        before = seen.running.parts.web.leases.answered
        for one in (raw, request(), raw, request(MIDDLE), raw):
            assert (await seen.ask(one))[0].status == 200
        assert seen.running.parts.web.leases.answered > before
        assert seen.running.metrics_calls == 2


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        (f"http://127.0.0.1{LARGE}", ["Host: rebound.example"], 200),
        (f"http://127.0.0.1{LARGE}", ["Host:"], 200),
        (f"http://rebound.example{LARGE}", ["Host: 127.0.0.1"], 421),
        (f"http://127.0.0.1.rebound.example{LARGE}", ["Host: 127.0.0.1"], 421),
        (f"http://127.0.0.1{LARGE}", ["Host: 127.0.0.1", "Host: 127.0.0.1"], 400),
        (f"http://127.0.0.1{LARGE}", ["Host: 127.0.0.1", "Host: rebound.example"], 400),
    ],
)
async def test_whose_host_counts(tmp_path: Path, target: str, lines: list[str], status: int) -> None:
    """The target's; `Host` must be there once all the same. It stays so however often it is asked, whatever else was asked."""
    async with watched(tmp_path) as seen:
        await seen.warm(request())
        await seen.warm(request(f"http://127.0.0.1{LARGE}"))
        for _ in range(4):
            wire = seen.wires[0] if status == 200 else await seen.connect()
            reply, was_fast = await seen.ask(request(target, *lines), on=wire)
            assert reply.status == status
            assert not (was_fast and status != 200)


@pytest.mark.parametrize(("version", "status"), [("1.0", 200), ("1.1", 400)])
async def test_without_a_host_field(tmp_path: Path, version: str, status: int) -> None:
    """HTTP/1.0 has none, and the target says enough; HTTP/1.1 must have one."""
    async with watched(tmp_path) as seen:
        wire = await seen.connect()
        reply = await wire.ask(f"GET http://127.0.0.1{LARGE} HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
        assert reply.status == status


async def test_what_is_about_the_proxy_itself(tmp_path: Path) -> None:
    """Health, the metrics and managing it are found as well, and pages of other origins are judged by the authority."""
    async with watched(tmp_path) as seen:
        for path, status in (
            ("/livez", 200),
            ("/readyz", 200),
            ("/metrics", 200),
            ("/openapi.json", 200),
            ("/admin/state", 200),
        ):
            assert (await seen.ask(request(f"http://127.0.0.1{path}")))[0].status == status
        for target, lines, status in (
            ("http://127.0.0.1/admin/state", ["Origin: http://127.0.0.1"], 200),
            ("http://127.0.0.1/admin/state", ["Host: rebound.example", "Origin: http://rebound.example"], 403),
            ("http://rebound.example/admin/state", ["Host: 127.0.0.1"], 421),
            ("http://rebound.example/readyz?verbose", ["Host: 127.0.0.1"], 421),
        ):
            assert (await seen.ask(request(target, *lines)))[0].status == status


async def test_tokens_are_needed_as_well(tmp_path: Path) -> None:
    """Who asks is judged the same."""
    async with guarded(tmp_path) as running:
        url = running.url.removeprefix("http://")
        host, _, port = url.partition(":")
        for headers, status in (({}, 401), (bearer(ALL), 200)):
            wire = await _connect(host, int(port))
            lines = [f"{name}: {value}" for name, value in headers.items()]
            assert (await wire.ask(request(f"http://127.0.0.1{LARGE}", *lines))).status == status
            await wire.close()


async def _connect(host: str, port: int) -> Wire:

    reader, writer = await asyncio.open_connection(host, port)
    return Wire(reader=reader, writer=writer)
