"""The fast path says what the ordinary way would say at that moment: to everybody, at every age, however the bytes arrive.

A request that asks for the connection to be closed always goes the ordinary way, so every answer can be held against the one
that it stands for. Nothing here is about speed.
"""

import tempfile
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import KeySource
from proxy.standin import Fault, FaultKind, Row
from proxy.web.shortcut.lease import LONGEST_S
from tests.support.wire import LARGE, MIDDLE, SMALL, Watched, key_file, request, watched
from tests.support.world import KEY, ManualClock

pytestmark = pytest.mark.leases

FRESH_S = 5


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
                    assert [reply.exact for reply, _ in asked] == [ordinary.exact] * 3
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
                        seen.running.advance(LONGEST_S)
                    case _:
                        await seen.running.parts.store.memory.aclose()


async def ask_thrice(seen: Watched, raw: bytes) -> None:
    """Ask three times, and hold what came the fast way, parsed or not, against the ordinary answer."""
    for _ in range(3):
        await seen.settled()
        reply, was_fast = await seen.ask(raw)
        if was_fast:
            assert reply.exact == (await seen.ordinary(raw)).exact


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
            assert reply.exact == (await seen.ordinary(request())).exact
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
            assert reply.exact == (await seen.ordinary(request())).exact
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
        assert reply.exact == (await seen.ordinary(request())).exact
        seen.running.clock.advance(-0.125)
        reply, was_fast = await seen.ask(request())
        assert not was_fast
        assert seen.running.metrics_calls == 2


async def test_the_first_second_of_all_time(tmp_path: Path) -> None:
    """A machine without a clock of its own begins in 1970: the answer is complete then, too."""
    async with watched(tmp_path, clock=ManualClock(0.25)) as seen:
        reply = await seen.warm(request())
        assert reply.header("Date") == "Thu, 01 Jan 1970 00:00:00 GMT"
        assert reply.exact == (await seen.ordinary(request())).exact


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
            assert (await seen.ask(other))[0].exact == (await seen.ordinary(other)).exact
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
        assert not seen.running.parts.web.leases.count
