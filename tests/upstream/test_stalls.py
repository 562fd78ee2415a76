"""An upstream whose answers come by the drop: what stands still is given up, what is merely slow is not."""

import asyncio
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from proxy.clock import SystemClock
from proxy.core.budget.breaker import State
from proxy.core.budget.line import Priority
from proxy.errors import UpstreamStalled
from tests.support.raw_upstream import answer, response, upstream
from tests.support.world import METRICS, QUESTION, world

STALL_S = 0.4
# Longer than a test may take: what ends sooner did not end by it.
DEADLINE_S = 60
SETTINGS: dict[str, Any] = {"upstream__stall_s": STALL_S, "upstream__deadline_s": DEADLINE_S, "freshness__stale_wait_s": 30}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
KILOBYTE = b"x" * 1024
OTHER = QUESTION.replace("runId=1", "runId=2")


async def drip(writer: asyncio.StreamWriter, piece: bytes = b" ", *, pause_s: float = STALL_S / 20) -> None:
    """Send something small again and again, until the other side has had enough."""
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


async def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    """It ends long before the deadline, is told as what it is, and isn't asked for again."""
    calls = 0

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        writer.write(HEAD)
        await drip(writer)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            reply = await running.get()
        assert (reply.status, reply.json["code"]) == (504, "upstream-stalled")
        assert f"{STALL_S:g} s" in reply.json["detail"]
        assert calls == 1
        metrics = (await running.get("/metrics")).body.decode()
        assert 'pluto_proxy_upstream_requests_total{status="upstream-stalled"} 1.0' in metrics


@pytest.mark.parametrize(
    "begin",
    [
        HEAD,
        HEAD + KILOBYTE * 400,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\n",
    ],
    ids=["at once", "after much", "chunked", "without a length", "of a 404"],
)
async def test_silence_is_given_up_as_well(tmp_path: Path, begin: bytes) -> None:
    """Nothing at all after the head, or after a part of the body, however the body is framed and whatever the status."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(begin)
        await writer.drain()
        await asyncio.sleep(DEADLINE_S)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            assert (await running.get()).json["code"] == "upstream-stalled"


async def test_framing_is_no_progress(tmp_path: Path) -> None:
    """However much there is around them, it is the body's bytes that count."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await drip(writer, b"1;" + b"x" * 2000 + b"\r\n \r\n")

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            assert (await running.get()).json["code"] in {"upstream-stalled", "upstream-failed"}


async def test_it_counts_what_the_connection_brings(tmp_path: Path) -> None:
    """A few compressed bytes are few, however many they become."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"Content-Length", b"Content-Encoding: gzip\r\nContent-Length"))
        packing = zlib.compressobj(wbits=31)
        while not writer.is_closing():
            writer.write(packing.compress(b" " * 20_000) + packing.flush(zlib.Z_SYNC_FLUSH))
            await writer.drain()
            await asyncio.sleep(STALL_S / 20)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            assert (await running.get()).json["code"] == "upstream-stalled"


async def test_what_is_slow_but_steady_comes_through(tmp_path: Path) -> None:
    """A body that takes three times as long as nothing may come is read to its end."""
    good = answer("slow")
    body = good.partition(b"\r\n\r\n")[2] + b" " * 1024 * 60

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(response(b"", length=len(body)))
        for begin in range(0, len(body), 1024):
            writer.write(body[begin : begin + 1024])
            await writer.drain()
            await asyncio.sleep(STALL_S / 20)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        reply = await running.get()
        assert (reply.status, reply.body) == (200, body)


async def test_the_head_may_take_its_time(tmp_path: Path) -> None:
    """Pluto-api computes before it answers: until the head only the deadline counts. Nor need a short body be 4 kB."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(STALL_S * 3)
        writer.write(answer("late"))

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        assert (await running.get()).json["metrics"][0]["logName"] == "late"


async def test_time_that_the_proxy_loses_is_not_the_upstreams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the process itself stands still (stopped, or busy) nothing can come in: that is no stall."""
    good = answer("good")
    # A patient loop would not count that time anyway.
    monkeypatch.setattr(asyncio.get_running_loop(), "time", time.monotonic)

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(good[:-10])
        await writer.drain()
        await asyncio.sleep(STALL_S / 20)
        time.sleep(STALL_S * 3)  # noqa: ASYNC251 -- the loop that the proxy runs on is to stand still
        await asyncio.sleep(STALL_S / 20)
        writer.write(good[-10:])

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        assert (await running.get()).json["metrics"][0]["logName"] == "good"


async def test_the_slot_is_free_again(tmp_path: Path) -> None:
    """With one call at a time the next question is answered as soon as the one that stands still is given up."""
    dripping = asyncio.Event()

    async def send(target: str, writer: asyncio.StreamWriter) -> None:
        if "runId=1" in target:
            writer.write(HEAD)
            dripping.set()
            await drip(writer)
        writer.write(answer("second"))

    async with (
        upstream(send) as url,
        world(tmp_path, upstream=url, upstream__max_concurrency=1, system_clock=SystemClock(), **SETTINGS) as running,
    ):
        await running.parts.tenancy.settled()
        first = asyncio.create_task(running.get())
        await dripping.wait()
        async with asyncio.timeout(DEADLINE_S / 2):
            assert (await running.get(OTHER)).json["metrics"][0]["logName"] == "second"
            assert (await first).json["code"] == "upstream-stalled"


async def test_a_stale_copy_is_handed_out(tmp_path: Path) -> None:
    """As for any call that failed, with the reason."""
    first = True

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        if first:
            first = False
            writer.write(answer("good"))
            return
        writer.write(HEAD)
        await drip(writer)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        good = await running.get()
        running.clock.advance(30)
        reply = await running.get()
        assert (reply.status, reply.body) == (200, good.body)
        assert "stale: upstream-stalled" in reply.cache_status


async def test_an_upstream_that_only_drips_is_left_alone(tmp_path: Path) -> None:
    """Five in a row count as any other failures do."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await drip(writer)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        await running.parts.tenancy.settled()
        questions = [f"{METRICS}?runId={run}&projectName=demo" for run in range(5)]
        await asyncio.gather(*map(running.get, questions))
        assert (await running.get("/readyz?verbose")).json["upstream"]["state"] == "cooling"


@pytest.mark.parametrize("status", [206, 302, 407, 408, 425, 500, 502, 504])
async def test_a_status_that_says_it_all_waits_for_no_body(tmp_path: Path, status: int) -> None:
    """Where nobody reads the body of an error, a body that comes by the drop holds nobody up."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(response("", status=f"{status} No", length=10**9))
        await drip(writer, KILOBYTE)

    settings = SETTINGS | {"upstream__stall_s": DEADLINE_S}
    async with upstream(send) as url, world(tmp_path, upstream=url, **settings) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "upstream-failed")


async def test_a_standstill_counts_whatever_the_line_took(tmp_path: Path) -> None:
    """A call that had little of the deadline left is held against the upstream all the same: it saw the answer stand still."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        await drip(writer)

    async with upstream(send) as url, world(tmp_path, upstream=url, **SETTINGS) as running:
        await running.parts.tenancy.settled()
        asking = running.parts.upstream
        for _ in range(5):
            ticket = asking.ticket(Priority.PERSON)
            ticket.deadline_s = running.clock.monotonic_s() + DEADLINE_S / 4
            with pytest.raises(UpstreamStalled) as caught:
                await asking.get(QUESTION, ticket, lambda _body: None)
            assert not caught.value.transient
        assert running.parts.turnstile.state is State.COOLING


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a connection and never say a word."""
    while await reader.read(1024):
        pass
    writer.close()


async def test_a_tls_handshake_that_never_ends(tmp_path: Path) -> None:
    """It is a part of making the connection, and may take no longer than that."""
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with world(tmp_path, upstream=url, upstream__connect_timeout_s=STALL_S, **SETTINGS) as running:
        async with asyncio.timeout(DEADLINE_S / 2):
            reply = await running.get()
        assert (reply.status, reply.json["code"]) == (504, "upstream-timeout")
        assert "no connection" in reply.json["detail"]
    server.close()


async def test_a_name_server_that_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds up nobody longer than a connection may take, and one thread whoever asks; once it answers, all is well."""
    answers, asked, getaddrinfo = threading.Event(), 0, socket.getaddrinfo

    def look_up(host: str, *rest: Any, **named: Any) -> Any:
        nonlocal asked
        if host != "upstream.test":
            return getaddrinfo(host, *rest, **named)
        asked += 1
        assert answers.wait(DEADLINE_S)
        return getaddrinfo("127.0.0.1", *rest, **named)

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("good"))

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with upstream(send) as base:
        url = base.replace("127.0.0.1", "upstream.test")
        async with world(tmp_path, upstream=url, upstream__connect_timeout_s=STALL_S, **SETTINGS) as running:
            try:
                for question in (QUESTION, OTHER):
                    async with asyncio.timeout(DEADLINE_S / 2):
                        reply = await running.get(question)
                    assert (reply.status, reply.json["code"]) == (504, "upstream-timeout")
                assert asked == 1
            finally:
                answers.set()
            running.clock.advance(30)
            assert (await running.get()).status == 200
