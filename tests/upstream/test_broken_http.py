"""Upstreams that break the rules of HTTP: never a wrong answer, never a fault of our own."""

import asyncio
import gzip
from pathlib import Path

import pytest

from tests.support.raw_upstream import answer, answer_body, response, upstream
from tests.support.world import QUESTION, world


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
        await running.parts.tenancy.settled()
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
