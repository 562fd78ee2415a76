"""The fast path on connections of every kind, to clients that are slow, leave, or send several requests at once."""

import asyncio
import logging
import re
import socket
import struct
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from yarl import URL

from proxy.web.shortcut.prepared import PreparedResponse
from tests.support.wire import LARGE, SMALL, Watched, request, watched

pytestmark = pytest.mark.leases

HIGH_WATER_BYTES = 64 * 1024


def refused(raw: bytes) -> int:
    """The status that a request is refused with, 0 where it isn't."""
    if b"nowhere" in raw:
        return 404
    return 400 if b"hello" in raw else 0


async def test_pipelined(tmp_path: Path) -> None:
    """Many requests in one piece are answered one by one in their order, each as it should be."""
    async with watched(tmp_path) as seen:
        kinds = [
            request(),
            request(SMALL, method="HEAD"),
            request(LARGE, "If-None-Match: *"),
            request("/nowhere"),
            request(LARGE, "Accept-Encoding: gzip"),
            request(LARGE, method="HEAD"),
            request(SMALL, "Content-Length: 5") + b"hello",
            request(SMALL, "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n",
            request(SMALL, "Expect: 100-continue"),
        ]
        for raw in kinds * 2:
            if not refused(raw):
                await seen.warm(raw)
        expected = [await seen.ordinary(raw) for raw in kinds]
        seen.fast.clear()
        wire = await seen.connect()
        wire.writer.write(b"".join(kinds * 10))
        for _ in range(10):
            for raw, ordinary in zip(kinds, expected, strict=True):
                reply = await wire.reply(raw.split(b" ")[0])
                if status := refused(raw):
                    assert reply.status == status
                else:
                    assert reply.told == ordinary.told
        assert len(seen.fast) == 10 * sum(not refused(raw) for raw in kinds)


@pytest.mark.parametrize(
    "lines",
    [
        ["Upgrade: websocket", "Connection: Upgrade"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Expect: 100-continue"],
        ["Connection: keep-alive"],
    ],
    ids=["websocket", "h2c", "expect", "keep-alive"],
)
async def test_offers_that_are_declined(tmp_path: Path, lines: list[str]) -> None:
    """An upgrade isn't taken up and an expectation is met: the answer is the same, and the connection goes on."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        wire = await seen.connect()
        await seen.warm(request(SMALL))
        for _ in range(3):
            reply, was_fast = await seen.ask(request(LARGE, *lines), on=wire)
            assert was_fast
            assert reply.told == expected.told
            assert (await seen.ask(request(SMALL), on=wire))[1]


async def test_a_body_that_comes_late(tmp_path: Path) -> None:
    """A request with a body is refused, and the body passed over, whenever it arrives: the next request is read after it."""
    async with watched(tmp_path) as seen:
        await seen.warm(request())
        await seen.warm(request(SMALL))
        for line in ("Expect: 100-continue", "Accept: */*"):
            wire = await seen.connect()
            reply, was_fast = await seen.ask(request(LARGE, line, "Content-Length: 30"), on=wire)
            assert not was_fast
            assert reply.status == 400
            wire.writer.write(b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n"[:30])
            reply, was_fast = await seen.ask(request(SMALL), on=wire)
            assert reply.exact == (await seen.ordinary(request(SMALL))).exact


@pytest.mark.parametrize(
    ("raw", "stays"),
    [
        (request(LARGE, version="1.0"), False),
        (request(LARGE, "Connection: keep-alive", version="1.0"), True),
        (request(LARGE, "Connection: close"), False),
        (request(LARGE, "Connection: close, te"), False),
    ],
    ids=["1.0", "1.0 keep-alive", "close", "close among others"],
)
async def test_connections_of_other_kinds(tmp_path: Path, raw: bytes, stays: bool) -> None:
    """HTTP/1.0 is answered in its own version and told whether the connection stays; who wants it closed gets it closed."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        seen.fast.clear()
        for _ in range(3):
            wire = await seen.connect()
            replies = [await wire.ask(raw) for _ in range(2 if stays else 1)]
            for reply in replies:
                version, _, rest = reply.status_line.partition(" ")
                assert version == f"HTTP/1.{0 if b'HTTP/1.0' in raw else 1}"
                assert (rest, *reply.told[1:]) == ("200 OK", *expected.told[1:])
                assert reply.header("Connection") == ("keep-alive" if stays else None if b"1.0" in raw else "close")
            if not stays:
                assert await wire.ended()
        assert not seen.fast


@pytest.mark.parametrize(
    "given_id",
    [
        b"a b",
        b"a\tb",
        b"a\xffb",
        b"\xc3\xa9",
        b"a%0d%0aX: 1",
        b"a;b",
        b'"a"',
        b"",
        b"a" * 65,
        b"a" * 8_000,
        b"a\r\n continued",
        b"a\rX-Evil: 1",
        b"a\x00b",
        b"a\x0bb",
        b"a\x7fb",
    ],
    ids=repr,
)
async def test_odd_request_ids(tmp_path: Path, given_id: bytes) -> None:
    """What isn't a plain id is replaced by one of ours or refused; nothing of it is ever in an answer."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        wire = await seen.connect()
        raw = request()[:-2] + b"X-Request-ID: " + given_id + b"\r\n\r\n"
        wire.writer.write(raw)
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert head.isascii()
        assert b"Evil" not in head
        lines = head.decode().split("\r\n")
        if lines[0] == "HTTP/1.1 200 OK":
            [shown] = [line.partition(": ")[2] for line in lines if line.startswith("X-Request-ID")]
            assert shown.encode() != given_id.strip()
            assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{12}", shown)
            assert "" not in lines[:-2]
            assert len(await wire.reader.readexactly(len(expected.body))) == len(expected.body)
            assert (await seen.ask(raw, on=wire))[0].told == expected.told
        else:
            assert "400" in lines[0]


async def test_request_ids_stay_with_their_requests(tmp_path: Path) -> None:
    """A sane id comes back to whoever gave it, and to nobody else; the first of two counts, as on the ordinary way."""
    async with watched(tmp_path) as seen:
        await seen.warm(request())
        for name in ("one", "A.b_c-9", "a" * 64):
            reply, was_fast = await seen.ask(request(LARGE, f"X-Request-ID: {name}"))
            assert was_fast
            assert reply.header("X-Request-ID") == name
            reply, _ = await seen.ask(request())
            assert reply.header("X-Request-ID") != name
        twice = request(LARGE, "X-Request-ID: one", "X-Request-ID: two")
        ids = {(await seen.ordinary(twice)).header("X-Request-ID"), (await seen.ask(twice))[0].header("X-Request-ID")}
        assert ids == {"one"}


async def test_hits_are_counted(tmp_path: Path) -> None:
    """The metrics and the log see a hit however it was answered."""
    async with watched(tmp_path) as seen:
        wanted = [request(), request(LARGE, "If-None-Match: *")]
        for raw in wanted:
            await seen.warm(raw)
        before = await counted(seen)
        seen.fast.clear()
        seen.running.parts.web.summary.flush()
        with capture_logs() as lines:
            for raw in wanted * 5:
                await seen.ask(raw)
            seen.running.parts.web.summary.flush()
        assert len(seen.fast) == 10
        assert (sum(line["hit"] for line in lines), sum(line["not_modified"] for line in lines)) == (10, 5)
        after = await counted(seen)
        assert [late - early for early, late in zip(before, after, strict=True)] == [10, 10, 5, 11]


async def counted(seen: Watched) -> list[float]:
    """Hits, durations of hits, answers without a body, and requests received."""
    text = (await seen.running.get("/metrics")).body.decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    labels = '{outcome="hit",route="metrics"}'
    names = [f"requests_total{labels}", f"request_duration_seconds_count{labels}"]
    names += ['not_modified_total{route="metrics"}', "requests_received_total"]
    return [float(values[f"pluto_proxy_{name}"]) for name in names]


async def test_a_client_that_does_not_read(tmp_path: Path) -> None:
    """Whoever asks without reading is waited for, with one answer in hand, while others are served; in the end all is there."""
    times = 200
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        seen.fast.clear()
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        url = URL(seen.running.url)
        await asyncio.get_running_loop().sock_connect(sock, (url.host, url.port))
        slow = await seen.connect(sock, limit=1_024)
        slow.writer.write(request() * times)
        async with asyncio.timeout(20):
            while not (seen.fast and seen.fast[-1].writing_paused):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
        transport = seen.fast[-1].transport
        assert isinstance(transport, asyncio.WriteTransport)
        for _ in range(times):
            assert (await seen.ask(request()))[1]
        answered = [one for one in seen.fast if one.transport is transport]
        assert len(answered) < times
        assert transport.get_write_buffer_size() <= len(expected.body) + 1_000 + HIGH_WATER_BYTES
        for _ in range(times):
            reply = await slow.reply()
            assert reply.told == expected.told


async def test_clients_that_leave(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that go away in the middle of an answer leave nothing behind, and nothing in the log."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        seen.fast.clear()
        for _ in range(20):
            wire = await seen.connect()
            wire.writer.write(request() * 50)
            await wire.reader.readexactly(1_000)
            sock = wire.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.writer.transport.abort()
            seen.wires.remove(wire)
        async with asyncio.timeout(20):
            while any(one.transport is not None for one in seen.fast):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        assert (await seen.ask(request()))[0].told == expected.told
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("ending", ["force_close", "abort"])
async def test_a_connection_that_ends_before_the_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str) -> None:
    """Between the decision and the writing the connection may have ended: that is an end of the connection, and no more."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        raised: list[Exception] = []

        def end(response: PreparedResponse, request: web.BaseRequest) -> None:
            transport = request.transport
            assert isinstance(transport, asyncio.WriteTransport)
            if ending == "abort":
                transport.abort()
            else:
                request.protocol.force_close()
            written = response.write_eof()
            with pytest.raises(ConnectionError) as caught:
                written.send(None)
            raised.append(caught.value)

        seen.interfere = end
        wire = await seen.connect()
        # Bytes that were seen before would be answered before there is a request.
        wire.writer.write(request(LARGE, "X-Request-ID: new"))
        assert await wire.ended()
        assert raised
        seen.interfere = lambda _response, _request: None
        assert (await seen.ask(request()))[0].told == expected.told
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
