"""Requests that two sides could read differently: where one ends is clear, or the connection does."""

import asyncio
from pathlib import Path

import pytest
from yarl import URL

from tests.support.world import QUESTION, World, world

HOST = "Host: 127.0.0.1\r\n"
GET = f"GET {QUESTION} HTTP/1.1\r\n{HOST}"
NEXT = f"GET /livez HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"


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
        await running.parts.tenancy.settled()
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
