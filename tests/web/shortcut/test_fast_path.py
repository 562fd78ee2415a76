"""The fast path says what the ordinary way would say at that moment: to everybody, at every age, however the bytes arrive.

A request that asks for the connection to be closed always goes the ordinary way, so every answer can be held against the one
that it stands for. Nothing here is about speed.
"""

import asyncio
import gc
import logging
import socket
import struct
import tempfile
import weakref
from contextlib import suppress
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from yarl import URL

from proxy.config import KeySource
from proxy.standin import Fault, FaultKind, Row
from proxy.web.connection.server import _Connection
from proxy.web.shortcut.prepared import PreparedResponse
from tests.support.wire import KINDS, LARGE, MIDDLE, SMALL, Watched, request, watched
from tests.support.world import KEY, ManualClock

FRESH_S = 5
HIGH_WATER_BYTES = 64 * 1024


@pytest.mark.parametrize("target", [LARGE, MIDDLE, SMALL], ids=["large", "middle", "small"])
async def test_every_kind_of_answer(tmp_path: Path, target: str) -> None:
    """Status line, every field and the body are those of the ordinary way; only the request's id is another."""
    async with watched(tmp_path) as seen:
        codings = set()
        for accepted in ("", "gzip", "zstd, gzip;q=0.5", "br", "gzip, identity;q=0"):
            accept = [f"Accept-Encoding: {accepted}"] if accepted else []
            whole = await seen.warm(request(target, *accept))
            codings.add(whole.header("Content-Encoding"))
            tag = whole.header("ETag")
            for condition in ("", "If-None-Match: *", f'If-None-Match: "x", W/{tag}', 'If-None-Match: "x"'):
                for method in ("GET", "HEAD"):
                    raw = request(target, *accept, *([condition] if condition else []), method=method)
                    ordinary = await seen.ordinary(raw)
                    assert ordinary.status == (304 if condition and condition != 'If-None-Match: "x"' else 200)
                    assert bool(ordinary.body) == (method == "GET" and ordinary.status == 200)
                    asked = [await seen.ask(raw) for _ in range(3)]
                    assert [was_fast for _, was_fast in asked][1:] == [True, True]
                    assert [reply.told for reply, _ in asked] == [ordinary.told] * 3
                    assert len({reply.header("X-Request-ID") for reply in (ordinary, *(reply for reply, _ in asked))}) == 4
        assert codings == ({None, "gzip"} if target == SMALL else {None, "gzip", "zstd"})
        assert seen.running.metrics_calls == 1


STEPS = st.one_of(
    st.tuples(
        st.just("ask"),
        st.sampled_from([LARGE, MIDDLE, SMALL, f"{LARGE}&limit=2000", f"{SMALL}&_=1"]),
        st.sampled_from(["GET", "GET", "HEAD"]),
        st.sampled_from([(), ("Accept-Encoding: gzip",), ("Accept-Encoding: zstd",), ("Accept-Encoding: gzip, identity;q=0",)]),
        st.sampled_from([(), (), ("If-None-Match: *",)]),
        st.sampled_from([(), (), ("Cache-Control: max-age=2",), ("Cache-Control: no-cache",), ("Pragma: no-cache",)]),
    ),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 0.75, 2, 4.75, 5, 12, 4000, -0.5])),
    st.tuples(st.just("upstream"), st.sampled_from(["grows", "says 404", "fails"])),
    st.tuples(st.just("key"), st.sampled_from([KEY, "mlps_standin_rotated", "mlpi_standin_other"])),
    st.tuples(st.just("memory"), st.sampled_from(["is lost"])),
)


@settings(max_examples=40)
@given(st.lists(STEPS, min_size=10, max_size=40))
async def test_whatever_has_happened(steps: list[tuple[Any, ...]]) -> None:
    """At every moment, whatever time, the upstream, the key and the memory did before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = KeySource(path=folder / "key")
        key_file(folder, KEY)
        async with watched(folder, key=key, freshness__client_floor_s=0, upstream__ignored_params="_") as seen:
            for number, step in enumerate(steps):
                match step:
                    case ("ask", target, method, *lines):
                        raw = request(target, *(line for group in lines for line in group), method=method)
                        await ask_thrice(seen, raw)
                    case ("upstream", "grows"):
                        seen.running.standin.rows.insert([Row(run_id=1, log_name="loss", step=2_000 + number, value=1)])
                    case ("upstream", said):
                        status = 404 if said == "says 404" else 500
                        seen.running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=status))
                    case ("pass", seconds):
                        seen.running.advance(seconds)
                    case ("key", text):
                        key_file(folder, text)
                    case _:
                        await seen.running.parts.store.memory.aclose()


async def ask_thrice(seen: Watched, raw: bytes) -> None:
    """Ask three times, and hold what came the fast way, parsed or not, against the ordinary answer."""
    for _ in range(3):
        await seen.settled()
        reply, was_fast = await seen.ask(raw)
        if was_fast:
            assert reply.told == (await seen.ordinary(raw)).told


def key_file(folder: Path, key: str) -> KeySource:
    path = folder / "key"
    path.write_text(key + "\n")
    return KeySource(path=path)


async def test_age_and_lifetime(tmp_path: Path) -> None:
    """Age, ttl and date go with the clock, and at the end of the lifetime the ordinary way takes over."""
    clock = ManualClock(1_800_000_000.25)
    async with watched(tmp_path, clock=clock) as seen:
        await seen.warm(request())
        for passed_s, age, ttl in ((0.5, "0", 4), (0.5, "1", 4), (3.75, "4", 0), (0.125, "4", 0)):
            clock.advance(passed_s)
            reply, was_fast = await seen.ask(request())
            assert was_fast
            assert reply.header("Age") == age
            assert reply.header("Cache-Status") == f"pluto-proxy; hit; ttl={ttl}"
            assert reply.header("Date") == formatdate(int(clock.now_s()), usegmt=True)
            assert reply.told == (await seen.ordinary(request())).told
        clock.advance(0.125)
        reply, was_fast = await seen.ask(request())
        assert not was_fast
        assert "stale" in (reply.header("Cache-Status") or "")


async def test_lifetimes_of_their_own(tmp_path: Path) -> None:
    """A route's own lifetime holds, shorter or longer than the general one, for the ttl as for the end of it."""
    for lifetime_s in (2, 8):
        async with watched(tmp_path / str(lifetime_s), lifetimes__metrics_s=lifetime_s) as seen:
            await seen.warm(request())
            seen.running.clock.advance(lifetime_s - 0.5)
            reply, was_fast = await seen.ask(request())
            assert was_fast
            assert reply.header("Cache-Status") == "pluto-proxy; hit; ttl=0"
            assert reply.told == (await seen.ordinary(request())).told
            seen.running.clock.advance(0.5)
            reply, was_fast = await seen.ask(request())
            assert not was_fast
            assert "stale" in (reply.header("Cache-Status") or "")


async def test_a_clock_behind_the_entry(tmp_path: Path) -> None:
    """Clocks may disagree by a second; an entry from further ahead has an age that nobody knows."""
    async with watched(tmp_path) as seen:
        await seen.warm(request())
        seen.running.clock.advance(-1)
        reply, was_fast = await seen.ask(request())
        assert was_fast
        assert (reply.header("Age"), reply.header("Cache-Status")) == ("0", "pluto-proxy; hit; ttl=5")
        assert reply.told == (await seen.ordinary(request())).told
        seen.running.clock.advance(-0.125)
        reply, was_fast = await seen.ask(request())
        assert not was_fast
        assert seen.running.metrics_calls == 2


async def test_the_first_second_of_all_time(tmp_path: Path) -> None:
    """A machine without a clock of its own begins in 1970: the answer is complete then, too."""
    async with watched(tmp_path, clock=ManualClock(0.25)) as seen:
        reply = await seen.warm(request())
        assert reply.header("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
        assert reply.told == (await seen.ordinary(request())).told


@pytest.mark.parametrize("line", ["Cache-Control: max-age=2", "Cache-Control: min-fresh=3"])
async def test_demands_are_kept(tmp_path: Path, line: str) -> None:
    """What was new enough for a request when it was remembered grows too old for it."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        await seen.warm(request(LARGE, line))
        seen.running.clock.advance(2)
        assert (await seen.ask(request(LARGE, line)))[1]
        seen.running.clock.advance(0.125)
        reply, was_fast = await seen.ask(request(LARGE, line))
        assert not was_fast
        assert reply.header("Age") == "0"
        assert seen.running.metrics_calls == 2


@pytest.mark.parametrize(
    ("other", "status"),
    [
        (request(LARGE, method="HEAD"), 200),
        (request(LARGE, method="POST"), 405),
        (request(MIDDLE), 200),
        (request(LARGE, "Host: rebound.example"), 421),
        (request(f"http://127.0.0.1{LARGE}"), 200),
        (request(f"http://localhost{LARGE}", "Host: rebound.example"), 200),
        (request(f"http://rebound.example{LARGE}"), 421),
        (request(f"https://127.0.0.1{LARGE}"), 421),
        (request(LARGE, "Origin: https://board.example"), 200),
        (request(LARGE, "Origin: https://rebound.example"), 200),
        (request(LARGE, "Accept-Encoding: gzip"), 200),
        (request(LARGE, "Accept-Encoding: br", "Accept-Encoding: *;q=0"), 406),
        (request(LARGE, "Accept-Encoding: *;q=0", "Accept-Encoding: br"), 406),
        (request(LARGE, "If-None-Match: *"), 304),
        (request(LARGE, 'If-None-Match: "x"', "If-None-Match: *"), 200),
        (request(LARGE, "Cache-Control: no-cache"), 200),
        (request(LARGE, "Cache-Control: max-age=60", "Cache-Control: no-cache"), 200),
        (request(LARGE, "Pragma: no-cache"), 200),
    ],
    ids=lambda value: value.replace(b"\r\n", b"|").decode()[-60:-2] if isinstance(value, bytes) else str(value),
)
async def test_every_difference_counts(tmp_path: Path, other: bytes, status: int) -> None:
    """A request that differs in one thing gets its own answer, and those before and after it theirs."""
    origins = "https://board.example,https://other.example"
    async with watched(tmp_path, freshness__client_floor_s=0, server__cors_origins=origins) as seen:
        texts = [
            request(),
            request(LARGE, "Origin: https://other.example"),
            request(LARGE, "Accept-Encoding: br"),
            request(LARGE, 'If-None-Match: "x"'),
        ]
        texts.append(request(LARGE, "Cache-Control: max-age=60"))
        for raw in texts:
            await seen.warm(raw)
        seen.running.clock.advance(1)
        before = [(await seen.ask(raw))[0] for raw in texts]
        reply, was_fast = await seen.ask(other)
        assert not was_fast
        assert reply.status == status
        if b"no-cache" in other:
            assert seen.running.metrics_calls == 2
            return
        if status < 400:
            await seen.settled()
            assert (await seen.ask(other))[0].told == (await seen.ordinary(other)).told
        for raw, had in zip(texts, before, strict=True):
            assert (await seen.ask(raw))[0].told == had.told
            assert (await seen.warm(raw)).told == had.told


async def test_what_has_more_to_tell_is_told(tmp_path: Path) -> None:
    """Dropped parameters, remembered refusals, stale answers and misses never go the fast way."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            reply, was_fast = await seen.ask(request(f"{LARGE}&novel=1"))
            assert not was_fast
            assert "novel" in (reply.header("Cache-Status") or "")
        assert seen.running.parts.web.unknown.requests == 3
        seen.running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        for _ in range(3):
            reply, was_fast = await seen.ask(request(SMALL))
            assert (reply.status, was_fast) == (404, False)
        seen.running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        seen.running.clock.advance(FRESH_S + 1)
        for _ in range(3):
            reply, was_fast = await seen.ask(request())
            assert not was_fast
            assert "stale" in (reply.header("Cache-Status") or "")
            await seen.settled()
        assert not seen.running.parts.web.fast._hits


async def test_a_refresh_is_seen(tmp_path: Path) -> None:
    """New bytes are handed out as soon as they are there, with their own tag and length; the same bytes with their new age."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        before = await seen.warm(request())
        seen.running.clock.advance(1)
        await seen.ask(request(LARGE, "Cache-Control: no-cache"))
        reply, _ = await seen.ask(request())
        assert (reply.body, reply.header("Age")) == (before.body, "0")
        await seen.warm(request())
        seen.running.standin.rows.insert([Row(run_id=1, log_name="loss", step=2_000, value=1)])
        seen.running.clock.advance(1)
        newest, _ = await seen.ask(request(LARGE, "Cache-Control: no-cache"))
        for _ in range(3):
            reply, _ = await seen.ask(request())
            assert reply.told == (await seen.ordinary(request())).told
            assert reply.body == newest.body != before.body
        assert seen.running.metrics_calls == 3


async def test_a_refusal_ends_it(tmp_path: Path) -> None:
    """What the upstream says is there no more isn't handed out any longer."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        await seen.warm(request())
        seen.running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        seen.running.clock.advance(1)
        assert (await seen.ask(request(LARGE, "Cache-Control: no-cache")))[0].status == 404
        reply, was_fast = await seen.ask(request())
        assert (reply.status, was_fast) == (404, False)


async def test_a_better_coding_is_taken_up(tmp_path: Path) -> None:
    """Identity is what a client gets until its coding is ready, and not a moment longer."""
    async with watched(tmp_path) as seen:
        raw = request(LARGE, "Accept-Encoding: gzip")
        await seen.warm(request())
        with patch.object(seen.running.parts.fetching.encoder, "_make"):
            for _ in range(2):
                reply, was_fast = await seen.ask(raw)
                assert reply.header("Content-Encoding") is None
            assert was_fast
        await seen.ordinary(raw)
        await seen.settled()
        for _ in range(2):
            reply, was_fast = await seen.ask(raw)
            assert reply.header("Content-Encoding") == "gzip"
            assert reply.told == (await seen.ordinary(raw)).told
        assert was_fast


async def test_an_entry_without_the_coding(tmp_path: Path) -> None:
    """The form that a client waited for may be lost to memory while the entry comes back from the disk's line without it."""
    async with watched(tmp_path) as seen:
        raw = request(SMALL, "Accept-Encoding: gzip, identity;q=0")
        await seen.ask(request(SMALL))
        plain = seen.entry
        first, _ = await seen.ask(raw)
        store, [(namespace, target)] = seen.running.parts.store, seen.running.parts.store.memory._held
        store.memory.put(namespace, target, plain)
        second, _ = await seen.ask(raw)
        assert second.told == first.told


async def test_another_organization_sees_nothing(tmp_path: Path) -> None:
    """With a key of another organization nothing of the first one's is served; with a rotated key of the same one it is."""
    async with watched(tmp_path, key=key_file(tmp_path, KEY)) as seen:
        had = await seen.warm(request())
        key_file(tmp_path, "mlpi_standin_other")
        for _ in range(3):
            assert (await seen.ask(request()))[0].body == b'{"metrics":[]}'
            await seen.settled()
        assert (await seen.ask(request()))[1]
        key_file(tmp_path, "mlps_standin_rotated")
        await seen.ask(request(SMALL))
        await seen.settled()
        assert (await seen.warm(request())).told == had.told
        assert seen.running.metrics_calls == 3


async def test_what_memory_lets_go_of_is_gone(tmp_path: Path) -> None:
    """Evicted, an entry is found on disk again; neither what is remembered nor an idle connection holds on to it."""
    async with watched(tmp_path) as seen:
        had = await seen.warm(request())
        await seen.running.flushed()
        await seen.warm(request())
        entry = weakref.ref(seen.entry)
        body = seen.entry.body
        await seen.running.parts.store.memory.aclose()
        gc.collect()
        assert entry() is None
        assert not [holder for holder in gc.get_referrers(body) if isinstance(holder, web.StreamResponse)]
        reply, was_fast = await seen.ask(request())
        assert not was_fast
        assert reply.told == had.told
        assert (await seen.warm(request())).told == had.told
        assert seen.running.metrics_calls == 1


async def test_hardly_any_memory(tmp_path: Path) -> None:
    """Entries that throw each other out all the time are answered right, each from wherever it is."""
    async with watched(tmp_path, cache__memory_bytes=30_000) as seen:
        questions = [request(f"{LARGE}&limit=100&stepMin={number}") for number in range(4)]
        bodies = [(await seen.ordinary(raw)).body for raw in questions]
        for raw, body in list(zip(questions, bodies, strict=True)) * 10:
            replies = [await seen.ask(raw) for _ in range(3)]
            assert [reply.body for reply, _ in replies] == [body] * 3
        assert seen.fast
        assert seen.running.parts.store.memory.evictions


async def test_what_is_remembered_is_bounded(tmp_path: Path) -> None:
    """However much a client writes into its fields, it is answered, and its text is not kept."""
    async with watched(tmp_path) as seen:
        filler = [f'If-None-Match: "{number}{"x" * 7_000}"' for number in range(4)]
        for raw in (request(LARGE, *filler), request(LARGE, filler[0]), request(f"{LARGE}&_={'1' * 5_000}")):
            for _ in range(3):
                reply, was_fast = await seen.ask(raw)
                assert (reply.status, was_fast) == (200, False)
        assert not seen.running.parts.web.fast._hits
        for number in range(5_000):
            await seen.ask(request(LARGE, f'If-None-Match: "{number}"'))
        assert len(seen.running.parts.web.fast._hits) <= 4_096
        assert len(repr(list(seen.running.parts.web.fast._hits))) < 4_096 * 3_000


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
            assert reply.told == (await seen.ordinary(request(SMALL))).told


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
            assert len(shown) < 20
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


async def test_bytes_that_were_seen(tmp_path: Path) -> None:
    """A request of the same bytes is not parsed again, and answered as it would be: with its age, and an id of its own."""
    async with watched(tmp_path) as seen:
        running = seen.running
        await seen.warm(request())
        await seen.ask(request())
        before, requests = running.parts.web.seen.answered, running.parts.web.intake.requests
        ids = set()
        for age in range(4):
            reply, was_fast = await seen.ask(request())
            assert was_fast
            assert (reply.header("Age"), reply.told) == (str(age), (await seen.ordinary(request())).told)
            ids.add(reply.header("X-Request-ID"))
            running.clock.advance(1)
        assert len(ids) == 4
        assert running.parts.web.seen.answered == before + 4
        assert running.parts.web.intake.requests == requests + 8
        named = request(LARGE, "X-Request-ID: mine")
        assert {(await seen.ask(named))[0].header("X-Request-ID") for _ in range(4)} == {"mine"}
        assert running.parts.web.seen.answered == before + 7


@pytest.mark.parametrize("taken_bytes", [4_096, 65_536])
async def test_a_socket_that_takes_a_part(tmp_path: Path, taken_bytes: int) -> None:
    """What the socket doesn't take at once comes later, and whole, also where other requests follow meanwhile."""
    async with watched(tmp_path) as seen:
        expected = await seen.warm(request())
        for _ in range(3):
            await seen.warm(request())
        transport = seen.fast[-1].transport
        assert transport is not None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, taken_bytes)
        before = seen.running.parts.web.seen.answered
        [wire] = seen.wires
        for times in (1, 3, 1):
            for _ in range(times):
                wire.writer.write(request())
                await asyncio.sleep(0)
            for _ in range(times):
                assert (await wire.reply()).told == expected.told
        assert seen.running.parts.web.seen.answered > before


async def test_bytes_from_elsewhere(tmp_path: Path) -> None:
    """Who may ask depends on the address: what was seen from one says nothing about another."""
    async with watched(tmp_path, access__networks="127.0.0.0/8") as seen:
        for _ in range(3):
            await seen.warm(request())
        assert seen.running.parts.web.seen.answer("127.0.0.1", request()) is not None
        assert seen.running.parts.web.seen.answer("10.0.0.1", request()) is None


async def test_while_it_drains(tmp_path: Path) -> None:
    """Once the process was told to end, whatever aiohttp does about the connection is done about every request."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        before = seen.running.parts.web.seen.answered
        seen.running.parts.web.intake.drain()
        assert (await seen.ask(request()))[0].status == 200
        assert seen.running.parts.web.seen.answered == before


async def test_a_connection_that_is_in_use_is_not_idle(tmp_path: Path) -> None:
    """What isn't parsed counts as a sign of life."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        connection = seen.fast[-1]
        assert isinstance(connection, _Connection)
        connection.since_s = 0.0
        before = seen.running.parts.web.seen.answered
        await seen.ask(request())
        assert seen.running.parts.web.seen.answered == before + 1
        assert connection.since_s == pytest.approx(asyncio.get_running_loop().time(), abs=60)


async def test_what_is_remembered_by_bytes_is_bounded(tmp_path: Path) -> None:
    """Neither many nor long requests fill the memory."""
    async with watched(tmp_path) as seen:
        await seen.warm(request())
        for number in range(5_000):
            await seen.ask(request(LARGE, f"X-Request-ID: {number}"))
        remembered = seen.running.parts.web.seen._seen
        assert len(remembered) == 4_096
        await seen.ask(request(LARGE, f"User-Agent: {'x' * 3_000}"))
        assert max(len(raw) for _, raw in remembered) <= 2_000
        assert (await seen.ask(request(LARGE, "X-Request-ID: 4999")))[0].header("X-Request-ID") == "4999"


@pytest.mark.parametrize("last", [request(LARGE, "Connection: close"), b"GET / HTTP/1.1\r\nbad\r\n\r\n"], ids=["close", "bad"])
async def test_nothing_follows_the_last_answer(tmp_path: Path, last: bytes) -> None:
    """Whatever comes after a request that ends the connection isn't answered, though it was seen before."""
    async with watched(tmp_path) as seen:
        for _ in range(3):
            await seen.warm(request())
        for turns in range(12):
            wire = await seen.connect()
            await wire.ask(request())
            before = seen.running.parts.web.seen.answered
            wire.writer.write(last)
            for _ in range(turns):
                await asyncio.sleep(0)
            wire.writer.write(request())
            with suppress(ConnectionError):
                async with asyncio.timeout(20):
                    await wire.reader.read()
            assert seen.running.parts.web.seen.answered == before


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4), st.sets(st.integers(1, 400))), min_size=1
    )
)
async def test_however_the_bytes_arrive(batches: list[tuple[list[str], set[int]]]) -> None:
    """Every request is answered as it would be by itself, in order: whole, in pieces, several at once, seen before or not.

    After each batch of requests, which is cut into pieces anywhere, its answers are waited for.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with watched(Path(folder)) as seen:
            for kind in ("hit", "small hit", "unchanged", "head", "absolute"):
                for _ in range(3):
                    await seen.warm(KINDS[kind])
            expected = {kind: await seen.ordinary(raw) for kind, raw in KINDS.items()}
            wire = await seen.connect()
            for kinds, cuts in batches:
                whole = b"".join(KINDS[kind] for kind in kinds)
                for begin, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]):
                    wire.writer.write(whole[begin:end])
                    await asyncio.sleep(0)
                for kind in kinds:
                    reply = await wire.reply(KINDS[kind].split(b" ")[0])
                    assert reply.status == expected[kind].status
                    if reply.status in {200, 304}:
                        assert reply.told == expected[kind].told
