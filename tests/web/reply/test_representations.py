"""Entity tags and encodings: bytes that a client has are not moved again, and the rest is moved small."""

import asyncio
import gzip
import sys
from pathlib import Path

import pytest

from proxy.core.freshness.entry import Coding
from proxy.core.http.coding import encode
from proxy.service.fetching import encoder
from proxy.standin import Fault, FaultKind, Row, Standin
from tests.support.world import METRICS, Reply, World, world

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LARGE = f"{METRICS}?runId=1&projectName=demo&logName=loss"
SMALL = f"{METRICS}?runId=1&projectName=demo&logName=nope"


def plain(reply: Reply) -> bytes:
    match reply.headers.get("Content-Encoding"):
        case "gzip":
            return gzip.decompress(reply.body)
        case "zstd":
            return zstd.decompress(reply.body)
        case _:
            return reply.body


async def warm(running: World) -> dict[str, Reply]:
    """Ask in every coding until each has been made; return the replies by coding."""
    await running.get(LARGE)
    for coding in ("gzip", "zstd"):
        await running.get(LARGE, Accept_Encoding=coding)
    await running.parts.fetching.encoder.settled()
    return {coding: await running.get(LARGE, Accept_Encoding=coding) for coding in ("identity", "gzip", "zstd")}


async def test_each_coding_is_the_same_answer(tmp_path: Path) -> None:
    """Identity, gzip and zstd decompress to the same bytes, have tags of their own, and say what they depend on."""
    async with world(tmp_path) as running:
        replies = await warm(running)
        assert len({plain(reply) for reply in replies.values()}) == 1
        assert len({reply.headers["ETag"] for reply in replies.values()}) == 3
        assert [reply.headers.get("Content-Encoding") for reply in replies.values()] == [None, "gzip", "zstd"]
        for reply in replies.values():
            assert reply.headers["Vary"] == "Accept-Encoding"
            assert reply.headers["Cache-Control"].startswith("private")
            assert not reply.headers["ETag"].startswith("W/")
        assert len(replies["zstd"].body) < len(replies["identity"].body) / 4
        assert running.metrics_calls == 1


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("zstd;q=0, gzip;q=0.001", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("br", None),
        ("gzip;q=0", None),
        ("gzip;q=nan", None),
        ("", None),
    ],
)
async def test_quality_values_are_honoured(tmp_path: Path, accept: str, coding: str | None) -> None:
    """The client's preference decides, ours where it has none."""
    async with world(tmp_path) as running:
        await warm(running)
        reply = await running.get(LARGE, Accept_Encoding=accept)
        assert reply.headers.get("Content-Encoding") == coding


async def test_encodings_are_made_off_the_requests_way_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes before a form is ready gets identity; however many ask, each form is made once, for a refresh with the same
    bytes too."""
    made: list[str] = []

    def counted(body: bytes, coding: Coding) -> bytes:
        made.append(coding)
        return encode(body, coding)

    monkeypatch.setattr(encoder, "encode", counted)
    async with world(tmp_path) as running:
        first = await asyncio.gather(*(running.get(LARGE, Accept_Encoding="gzip") for _ in range(20)))
        assert {reply.headers.get("Content-Encoding") for reply in first} <= {None, "gzip"}
        await warm(running)
        running.clock.advance(20)
        assert not (await running.get(LARGE)).is_hit
        replies = await warm(running)
        assert replies["gzip"].headers["Content-Encoding"] == "gzip"
        assert sorted(made) == ["gzip", "zstd"]


async def test_excluding_identity(tmp_path: Path) -> None:
    """Then the form is waited for; where nothing is left it is 406. Small answers are compressed for them too."""
    async with world(tmp_path) as running:
        for target in (LARGE, SMALL):
            reply = await running.get(target, Accept_Encoding="gzip, identity;q=0")
            assert reply.headers["Content-Encoding"] == "gzip"
            assert b"metrics" in plain(reply)
            assert (await running.get(target, Accept_Encoding="br, *;q=0")).status == 406


async def test_small_answers_are_left_alone(tmp_path: Path) -> None:
    """An answer of a few bytes isn't compressed."""
    async with world(tmp_path) as running:
        for _ in range(2):
            assert "Content-Encoding" not in (await running.get(SMALL, Accept_Encoding="gzip")).headers
            await running.parts.fetching.encoder.settled()


async def test_not_modified(tmp_path: Path) -> None:
    """304 for any current tag in a list, weakly compared, and for `*`; the headers that a 304 carries, and no body."""
    async with world(tmp_path) as running:
        tags = {coding: reply.headers["ETag"] for coding, reply in (await warm(running)).items()}
        for coding, tag in tags.items():
            for value in (tag, f"W/{tag}", f'"x", {tag}', f'"a,b" ,W/"c", {tag},', "*"):
                reply = await running.get(LARGE, Accept_Encoding=coding, If_None_Match=value)
                assert (reply.status, reply.body) == (304, b""), value
                assert reply.headers["ETag"] == tag
                assert {"Cache-Control", "Vary", "Age", "Cache-Status", "Date", "X-Request-ID"} <= set(reply.headers)
                assert "Content-Type" not in reply.headers
        assert (await running.get(LARGE, If_None_Match=tags["zstd"])).status == 304
        head = await running.get(LARGE, method="HEAD", If_None_Match=tags["identity"])
        assert head.status == 304
        for value in ('"x"', "", tags["identity"].strip('"'), f"broken {tags['identity']}"):
            assert (await running.get(LARGE, If_None_Match=value)).status == 200
        assert running.metrics_calls == 1


async def test_tags_follow_the_bytes(tmp_path: Path) -> None:
    """The same bytes after a refresh keep the tag, other bytes get another."""
    standin = Standin()
    standin.rows.insert([Row(run_id=1, log_name="loss", step=1, value=1)])
    async with world(tmp_path, standin=standin) as running:
        before = (await running.get(LARGE)).headers["ETag"]
        running.clock.advance(20)
        reply = await running.get(LARGE, If_None_Match=before)
        assert reply.status == 304
        assert "fwd=stale" in reply.cache_status
        standin.rows.insert([Row(run_id=1, log_name="loss", step=2, value=1)])
        running.clock.advance(20)
        assert (await running.get(LARGE, If_None_Match=before)).status == 200


async def test_tags_survive_a_restart(tmp_path: Path) -> None:
    """Every tag is the same after the process has ended, with and without memory."""
    standin = Standin()
    async with standin.serve() as upstream:
        async with world(tmp_path, standin=standin, upstream=upstream, freshness__running_s=600) as running:
            before = {coding: reply.headers["ETag"] for coding, reply in (await warm(running)).items()}
            await running.parts.tenancy.settled()
            await running.flushed()
        for memory_bytes in (0, 2**28):
            async with world(
                tmp_path,
                standin=standin,
                upstream=upstream,
                clock=running.clock,
                freshness__running_s=600,
                cache__memory_bytes=memory_bytes,
            ) as running:
                for coding, tag in before.items():
                    assert (await running.get(LARGE, Accept_Encoding=coding, If_None_Match=tag)).status == 304
                assert (await running.get(LARGE, Accept_Encoding="zstd")).headers["Content-Encoding"] == "zstd"
                assert running.metrics_calls == 1


async def test_errors_have_no_tag(tmp_path: Path) -> None:
    """The upstream's own 4xx and our errors are no representation of the question's answer."""
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        for reply in (await running.get(If_None_Match="*"), await running.get(METRICS, If_None_Match="*")):
            assert reply.status in (400, 404)
            assert "ETag" not in reply.headers
