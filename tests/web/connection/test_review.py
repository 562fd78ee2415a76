"""What a review tried to break: requests that two sides could read differently, and answers that one key must not share."""

import asyncio
from pathlib import Path

import pytest
from yarl import URL

from proxy.standin import GrowthConfig, Standin, StandinConfig
from tests.standin.support import Clock
from tests.support.processes import run
from tests.support.world import KEY, QUESTION, World, world

HOST = "Host: 127.0.0.1\r\n"
GET = f"GET {QUESTION} HTTP/1.1\r\n{HOST}"
NEXT = f"GET /livez HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
NAMES = "/api/runs/metric-names?projectName=demo"
RANKED = "/api/runs/leaderboard?projectName=demo&logName=train/loss"


async def spoken(running: World, lines: str) -> bytes:
    """Send this and return everything that is answered until the connection is closed."""
    url = URL(running.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(lines.encode("latin-1"))
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


async def directly(running: World, target: str) -> bytes:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with running.session.get(URL(running.upstream + target, encoded=True), headers=headers) as response:
        return await response.read()


@pytest.mark.parametrize(
    ("target", "like"),
    [
        (f"{NAMES}&runIds=", NAMES),
        (f"{NAMES}&runIds=x", NAMES),
        (f"{NAMES}&runIds=,", f"{NAMES}&runIds=0"),
        (f"{NAMES}&runIds=%20", f"{NAMES}&runIds=0"),
        (f"{NAMES}&limit=Infinity", f"{NAMES}&limit=500"),
        (f"{NAMES}&limit=500.5", f"{NAMES}&limit=500"),
        (f"{RANKED}&limit=1e30", f"{RANKED}&limit=100"),
    ],
)
async def test_odd_texts_ask_what_they_ask_upstream(tmp_path: Path, target: str, like: str) -> None:
    """Each gets what the upstream answers to it directly, from the entry of the question that it means."""
    clock = Clock()
    growth = GrowthConfig(long_series_rows=0, finished_duration_s=100)
    standin = Standin(StandinConfig(growth=growth), clock=clock, monotonic=clock)
    async with world(tmp_path, standin=standin) as running:
        assert (await running.get(like)).body == await directly(running, like)
        reply = await running.get(target)
        assert reply.body == await directly(running, target)
        assert reply.is_hit


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Content-Length: 5\r\n", "hello"),
        ("Content-Encoding: gzip\r\nContent-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"),
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"),
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""),
    ],
)
async def test_bodies_end_where_they_say(tmp_path: Path, framing: str, body: str) -> None:
    """A body is refused and passed over, no upgrade made: two requests get two answers, and what lies in a body none."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.found()
        for _ in range(3):  # a miss, a hit, and a hit of the fast path
            answered = await spoken(running, f"{GET}{framing}\r\n{body}{NEXT}")
            assert answered.count(b"HTTP/1.1 400 Bad Request\r\n") == bool(body)
            assert answered.count(b"HTTP/1.1 200 OK\r\n") == (1 if body else 2)
            assert answered.endswith(b"ok\n")
        assert running.metrics_calls == (0 if body else 1)


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "X : a\r\n",
        "X: a\r\n b\r\n",
        "X: Bearer hunter2\0\r\n",
        "X: Bearer hunter2\rb\r\n",
        f"X: hunter2{'a' * 20_000}\r\n",
    ],
)
async def test_unclear_framing_ends_the_connection(tmp_path: Path, framing: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One problem document, nothing behind it is read, nothing goes upstream, and neither answer nor log quotes a header."""
    async with world(tmp_path) as running:
        answered = await spoken(running, f"{GET}{framing}\r\n{NEXT}")
        assert answered.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert b"200 OK" not in answered
        assert b"application/problem+json" in answered
        assert running.metrics_calls == 0
    written = capfd.readouterr()
    assert "hunter2" not in f"{answered!r}{written.out}{written.err}"


async def test_what_is_refused_in_the_target_is_named(tmp_path: Path) -> None:
    """A target that no URL can be is called that, and isn't taken for its explanation."""
    async with world(tmp_path) as running:
        answered = await spoken(running, f"GET http://a:99999999/x HTTP/1.1\r\n{HOST}\r\n")
        assert b"allows: the target is no URL" in answered


async def test_a_host_that_cannot_be_a_name() -> None:
    """Where the address to listen on cannot even be looked up, one line says so."""
    settings = {"PLUTO_API_KEY": KEY, "PLUTO_PROXY_ACCESS__OPEN": "true", "PLUTO_PROXY_LOG__LEVEL": "error"}
    status, _, errors = await run("serve", PLUTO_PROXY_LISTEN=f"{'a' * 64}.example:0", **settings)
    assert status == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].endswith("no host can have this name; set server.listen")
