"""Bodies that the upstream compresses."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.upstream.coding import gunzipped
from tests.support.raw_upstream import answer_body, response, upstream
from tests.support.world import world


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

    sizes = [len(piece) async for piece in gunzipped(chunks())]
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
