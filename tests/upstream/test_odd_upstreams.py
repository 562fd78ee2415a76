"""Upstreams that break the rules of HTTP or of good sense: never a wrong answer, never a fault of our own."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.standin import Fault, FaultKind, Standin
from proxy.upstream.coding import _gunzipped
from tests.support.raw_upstream import answer, answer_body, response, upstream
from tests.support.world import METRICS, QUESTION, Reply, World, world


async def test_a_second_response_is_never_read_as_the_next_answer(tmp_path: Path) -> None:
    """Bytes that arrive unasked on an idle connection end that connection: the next question gets its own answer."""
    poisoned = asyncio.Event()

    async def send(target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("second" if "stepMin" in target else "first"))
        if "stepMin" not in target:
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(answer("poison"))
            await writer.drain()
            poisoned.set()

    async with upstream(send) as url, world(tmp_path, upstream=url) as running:
        await running.parts.tenancy.found()
        assert (await running.get()).json["metrics"][0]["logName"] == "first"
        await poisoned.wait()
        await asyncio.sleep(0.05)
        for number in range(1, 4):
            reply = await running.get(f"{QUESTION}&stepMin={number}")
            assert reply.json["metrics"][0]["logName"] == "second"


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("sent", "stale"),
    [
        (response('{"metrics":[],"x":' + DEEP), "upstream-bad-answer"),
        (response('{"error":' + DEEP, status="404 Not Found"), "upstream-failed"),
        (response("{}", status="429 No", headers=f"Retry-After: Fri, 31 Dec 2099 23:59:59 +{'9' * 20}\r\n"), "upstream-busy"),
        (response("{}", status="429 No", headers=f"Retry-After: {'9' * 20}\r\n"), "upstream-busy"),
        (response("cut", status="429 No", headers="Retry-After: 60\r\n", length=500), "upstream-busy"),
        (response("cut", status="503 No", headers="Content-Encoding: gzip\r\n"), "upstream-busy"),
        (response(b'{"metrics":[],"x":"\xff"}'), "upstream-bad-answer"),
        (response("\ufeff" + '{"metrics":[]}'), "upstream-bad-answer"),
        (response(""), "upstream-bad-answer"),
        (response('{"error":"x"}', status="407 Proxy"), "upstream-failed"),
        (response(answer_body("x"), headers="Content-Encoding: compress\r\n"), "upstream-bad-answer"),
        (response(answer_body("x"), headers="Content-Encoding: gzip, gzip\r\n"), "upstream-bad-answer"),
        (response(answer_body("x"), headers="Content-Encoding: x-gzip\r\n"), "upstream-failed"),
        (response(gzip.compress(answer_body("x"))[:-3], headers="Content-Encoding: x-gzip\r\n"), "upstream-failed"),
        (response(gzip.compress(answer_body("x")) + b"x", headers="Content-Encoding: x-gzip\r\n"), "upstream-failed"),
        (response("cut", status="503 No", headers="Content-Encoding: x-gzip\r\n"), "upstream-busy"),
        (response("cut", status="429 No", headers="Content-Encoding: compress\r\n"), "upstream-busy"),
        (response('{"error":"' + "x" * 100_000 + '"}', status="404 Not Found"), "upstream-failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "upstream-failed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "upstream-failed"),
        (b"not http at all\r\n\r\n", "upstream-failed"),
    ],
)
async def test_odd_answers_leave_the_stale_one_standing(tmp_path: Path, sent: bytes, stale: str) -> None:
    """Each counts as the failure that it is, with one call, and with a stale answer in hand that is served."""
    first = True
    calls = 0

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        nonlocal first, calls
        calls += 1
        writer.write(answer("good") if first else sent)
        first = False
        if len(sent) < 1000 or b"x" not in sent[-3:]:
            await writer.drain()
            writer.write_eof()

    async with upstream(send) as url, world(tmp_path, upstream=url, upstream__deadline_s=2) as running:
        good = await running.get()
        running.clock.advance(30)
        for _ in range(3):
            reply = await running.get()
            assert reply.body == good.body
            assert f"stale: {stale}" in reply.cache_status or "stale: cool-down" in reply.cache_status
        assert calls == 2


async def test_a_401_whose_body_never_comes_refuses_the_key_all_the_same(tmp_path: Path) -> None:
    """The status says it all."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(response("{", status="401 Unauthorized", length=1000))
        writer.write_eof()

    async with upstream(send) as url, world(tmp_path, upstream=url) as running:
        assert (await running.get()).json["code"] == "key-refused"
        assert b"refuses the shared key" in (await running.get("/readyz")).body


@pytest.mark.parametrize("second", [Fault(kind=FaultKind.HTML, status=403), Fault(kind=FaultKind.REDIRECT)])
async def test_a_firewalls_page_does_not_make_a_refused_key_good(tmp_path: Path, second: Fault) -> None:
    """Only an answer of the upstream's own does: nothing stale is served meanwhile."""
    async with world(tmp_path) as running:
        await running.get()
        running.clock.advance(20)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=401))
        assert (await running.get()).json["code"] == "key-refused"
        running.clock.advance(31)
        running.standin.faults.add(second)
        await running.get()
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "key-refused")


async def test_what_is_gone_upstream_does_not_come_back(tmp_path: Path) -> None:
    """After the upstream's own 404 the older answer is neither refreshed nor served stale, from memory or from disk."""
    for memory_bytes in (0, 2**20):
        async with world(
            tmp_path / str(memory_bytes), cache__memory_bytes=memory_bytes, freshness__stale_while_revalidate_s=60
        ) as running:
            await running.get()
            await running.flushed()
            running.clock.advance(20)
            gone = running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404, times=None))
            await running.get()
            await running.settled()
            statuses = []
            for _ in range(4):
                running.clock.advance(3)
                statuses.append((await running.get()).status)
                await running.settled()
            assert statuses == [404] * 4
            gone.stop()
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
            running.clock.advance(6)
            assert (await running.get()).status == 502


async def test_an_answer_that_outgrows_the_store_takes_the_old_one_with_it(tmp_path: Path) -> None:
    """Otherwise the small old one would be served, and refreshed, at every poll."""
    async with world(tmp_path, cache__max_object_bytes=1000) as running:
        await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        running.clock.advance(6)
        running.standin.faults.add(Fault(kind=FaultKind.HUGE, size_bytes=5_000))
        await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        await running.settled()
        reply = await running.get(f"{METRICS}?runId=1&projectName=demo&limit=2")
        assert reply.cache_status.startswith("pluto-proxy; fwd=uri-miss")


async def test_one_call_while_the_organization_becomes_known(tmp_path: Path) -> None:
    """A question that is under way when its key's organization is found is joined all the same, and stored under it."""
    standin, gate, validate = Standin(), asyncio.Event(), asyncio.Event()
    standin.faults.add(Fault(kind=FaultKind.HOLD, path="/api/runs/auth/validate", gate=validate))
    standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
    async with world(tmp_path, standin=standin) as running:
        early = [asyncio.create_task(running.get()) for _ in range(5)]
        await standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        validate.set()
        await running.parts.tenancy.found()
        late = [asyncio.create_task(running.get()) for _ in range(5)]
        await running.arrived(10)
        gate.set()
        replies: list[Reply] = await asyncio.gather(*early, *late)
        assert {reply.status for reply in replies} == {200}
        assert running.metrics_calls == 1
        assert (await running.get()).is_hit
        await running.flushed()
        assert await running.parts.store.disk.get(running.parts.tenancy.current().namespace, QUESTION) is not None


async def frames(running: World) -> int:
    said = next(iter(running.parts.fetching.memo._said.values()))
    count, traceback = 0, said.error.__traceback__  # type: ignore[union-attr]  # a Failure in this test
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


async def test_a_remembered_error_does_not_grow(tmp_path: Path) -> None:
    """Raised a thousand times, it keeps no more frames alive than once."""
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        for _ in range(200):
            assert (await running.get()).status == 502
        assert await frames(running) < 30
        assert running.metrics_calls == 1


@pytest.mark.parametrize("coding", ["gzip", "GZip", "x-gzip", "X-GZIP", " x-gzip "])
@pytest.mark.parametrize("members", [1, 3])
async def test_gzip_by_each_of_its_names(tmp_path: Path, coding: str, members: int) -> None:
    """RFC 9110 section 8.4.1.3: x-gzip is gzip, in any case; and several members are one body, however they are cut."""
    body = answer_body("loss" * 1000)
    step = -(-len(body) // members)
    packed = b"".join(gzip.compress(body[begin : begin + step]) for begin in range(0, len(body), step))

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        whole = response(packed, headers=f"Content-Encoding: {coding}\r\n")
        for begin in range(0, len(whole), 50):
            writer.write(whole[begin : begin + 50])
            await writer.drain()

    async with upstream(send) as url, world(tmp_path, upstream=url) as running:
        reply = await running.get()
        assert (reply.status, reply.body) == (200, body)


async def test_what_a_few_bytes_stand_for_comes_bit_by_bit() -> None:
    """So that whoever bounds it can end it: not all of it is made before it is looked at."""

    async def chunks() -> AsyncIterator[bytes]:
        yield gzip.compress(b" " * 2**26)

    sizes = [len(piece) async for piece in _gunzipped(chunks())]
    assert sum(sizes) == 2**26
    assert max(sizes) <= 2**20


@pytest.mark.parametrize("coding", ["gzip", "x-gzip"])
async def test_a_few_bytes_that_stand_for_many(tmp_path: Path, coding: str) -> None:
    """They are given up where what comes out of them is larger than an answer may be."""
    packed = gzip.compress(b" " * 2**26)

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(response(packed, headers=f"Content-Encoding: {coding}\r\n"))

    async with upstream(send) as url, world(tmp_path, upstream=url, upstream__max_body_bytes=2**22) as running:
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "answer-too-large")
