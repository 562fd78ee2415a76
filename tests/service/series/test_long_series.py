"""What happens to a long series that has been loaded: chunks get lost, the upstream fails, other rows come than before."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from proxy.core.series.answers import split
from proxy.core.series.evicting import absent_of, chunks_of, without_chunks
from proxy.core.series.extents import Known
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.proof import checks as checks_module
from proxy.store.sqlite.store import SqliteStore
from tests.support.late_disk import late
from tests.support.long_series import REWRITE_CHECK_S, ROWS, grow, known_windows, loaded, log_long, small_answers, watch
from tests.support.oracle_upstream import moment, right, row, series_world, target
from tests.support.world import World


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_answers():
        yield


async def let_chunks_go(running: World) -> None:
    """Let all chunks leave memory that are on disk."""
    await running.flushed()
    shelves = running.parts.shelves
    for shelf in list(shelves._shelves._shelves.values()):
        shelf.keep(tuple(without_chunks(window, shelf.stored) for window in shelf.windows))
    shelves.changes += 1
    (window,) = known_windows(running)
    assert len(absent_of(window.by_name.values())) > 6


async def test_chunks_are_asked_for_at_the_moment_others_have_come(tmp_path: Path) -> None:
    """Who asks for chunks when others have just come, before anybody has taken notice, gets the right ones."""
    async with loaded(tmp_path) as (running, _):
        await let_chunks_go(running)
        (window,) = known_windows(running)
        shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
        bring, others = shelves._files.chunks, list[asyncio.Task[Any]]()

        async def bring_and_ask(*asked: Any) -> Any:
            found = await bring(*asked)
            if not others:
                others.append(asyncio.ensure_future(shelves.present(tenant, window, 70, 90)))
            return found

        with patch.object(shelves._files, "chunks", bring_and_ask):
            one = await shelves.present(tenant, window, 0, 10)
            other = await others[0]
        assert one is not None
        assert other is not None
        assert not absent_of(one.by_name.values(), 0, 10)
        assert not absent_of(other.by_name.values(), 70, 90)
        (held,) = known_windows(running)
        assert not absent_of(held.by_name.values(), 0, 10) + absent_of(held.by_name.values(), 70, 90)


async def test_what_left_memory_is_not_held_elsewhere(tmp_path: Path) -> None:
    """What is remembered of what the disk has does not hold the rows of chunks."""
    async with loaded(tmp_path) as (running, _):
        await running.flushed()
        shelves = running.parts.shelves
        written = [window for shelf in shelves._shelves._shelves.values() for window in shelf.written or ()]
        chunks = [chunk for window in written for chunk in chunks_of(window.extents.by_name.values())]
        assert chunks
        assert all(chunk.rows is None for chunk in chunks)
        shelves._shelves.clear()
        await shelves.load(running.parts.tenancy.current(), [written[0].extents.question.in_full])
        (window,) = known_windows(running)
        assert not absent_of(window.by_name.values())
        (again,) = (window for shelf in shelves._shelves._shelves.values() for window in shelf.written or ())
        assert all(chunk.rows is None for chunk in chunks_of(again.extents.by_name.values()))


async def test_lost_chunks(tmp_path: Path) -> None:
    """A series of which chunks are lost on disk is asked for again."""
    async with loaded(tmp_path) as (running, upstream):
        await let_chunks_go(running)

        async def lost(*_: object) -> None:
            return None

        with patch.object(SqliteStore, "read", lost):
            await right(running, upstream, "logName=loss&limit=4")
        await right(running, upstream, "logName=loss&limit=3")


async def test_a_disk_that_is_late(tmp_path: Path) -> None:
    """What cannot be read now is not lost: the series is computed from again as soon as the disk answers."""
    async with loaded(tmp_path) as (running, upstream):
        await let_chunks_go(running)
        begun, before = running.parts.series.loader.begun, known_windows(running)
        with late():
            await right(running, upstream, "logName=loss&limit=4")
        assert [window.question for window in known_windows(running)] == [window.question for window in before]
        calls = upstream.metrics_calls
        await right(running, upstream, "logName=loss&limit=3")
        assert upstream.metrics_calls == calls
        assert running.parts.series.loader.begun == begun


@pytest.mark.parametrize("what", ["extents of ", "pack ", "extents are forgotten"])
async def test_what_was_not_read_is_looked_for_again(tmp_path: Path, what: str) -> None:
    """A series that could not be read at its first look after a start is not taken for one that isn't there."""
    async with loaded(tmp_path) as (running, _):
        await running.flushed()
        shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
        (window,) = known_windows(running)
        shelves._shelves.clear()
        selection = window.question.in_full
        with late(lambda key: key.startswith(what)):
            assert await shelves.load(tenant, [selection]) == []
        assert len(await shelves.load(tenant, [selection])) == 1


async def test_what_was_not_read_is_not_written_over(tmp_path: Path) -> None:
    """What came while the disk was late is added to what is there, as soon as that can be read, and written with it."""
    async with loaded(tmp_path) as (running, upstream):
        await running.flushed()
        shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
        (window,) = known_windows(running)
        shelves._shelves.clear()
        with late():
            await right(running, upstream, "logName=loss&limit=9&stepMin=100&stepMax=120")
            await running.flushed()
            assert window.question not in {one.question for one in known_windows(running)}
        await right(running, upstream, "logName=loss&limit=9&stepMin=130&stepMax=150")
        await running.flushed()
        for _ in range(2):
            calls = upstream.metrics_calls
            await right(running, upstream, "logName=loss&limit=4")
            assert upstream.metrics_calls == calls
            shelves._shelves.clear()
            found = {one.question: one.rows for one in await shelves.load(tenant, [window.question.in_full])}
            assert found[window.question] == window.rows
            assert len(found) == 3


async def test_the_canary_needs_what_has_left_memory(tmp_path: Path) -> None:
    """A check that begins at an answer about the end of a series does not need its middle to be in memory."""
    with patch.object(checks_module, "LEAST_ROWS", 10):
        async with loaded(tmp_path) as (running, upstream):
            await watch(running, upstream, 30)
            await let_chunks_go(running)
            checks = running.parts.proof.checks
            running.advance(6)
            last = grow(upstream)
            checks._next_canary_s = 1e9
            await right(running, upstream, f"logName=loss&limit=9&stepMin={last - 8}")
            checks._next_canary_s = 0.0
            await right(running, upstream, f"logName=loss&limit=9&stepMin={last - 7}")
            await running.settled()
            assert checks._next_canary_s > 0


async def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    """Chunks that are not on disk stay in memory; series that don't fit are not loaded again and again."""
    settings = {"series__rewrite_check_s": REWRITE_CHECK_S, "freshness__stale_while_revalidate_s": 0}
    async with series_world(tmp_path, series__memory_bytes=30_000, **settings) as (running, upstream):
        with patch.object(SqliteStore, "accepts_writes", property(lambda _: False)):
            for name in ("a", "b"):
                log_long(upstream, name)
            for _ in range(20):
                for raw in (f"logName={name}&limit={limit}" for name in "ab" for limit in (9, 10, 11)):
                    await right(running, upstream, raw)
                await running.settled()
                running.advance(6)
                for name in "ab":
                    grow(upstream, name)
        assert running.parts.series.loader.begun == 2


async def test_rows_that_come_too_fast(tmp_path: Path) -> None:
    """A series of which no refresh can hold all rows that may still be missing is not loaded again and again."""
    settings = {"series__rewrite_check_s": REWRITE_CHECK_S, "freshness__stale_while_revalidate_s": 0}
    async with series_world(tmp_path, **settings) as (running, upstream):
        now_s = upstream.clock.now_s()
        upstream.put(row("loss", step, time=moment(now_s - (ROWS - step))) for step in range(ROWS))
        for poll in range(60):
            before = upstream.metrics_calls
            running.advance(6)
            for ago_s in reversed(range(6)):
                grow(upstream, ago_s=ago_s)
            for limit in (9, 10, 11):
                await right(running, upstream, f"logName=loss&limit={limit}")
            await running.settled()
            assert poll < 2 or upstream.metrics_calls - before <= 4
        assert running.parts.series.loader.begun == 1


@pytest.mark.parametrize("absent", [False, True])
async def test_a_row_of_another_group(tmp_path: Path, absent: bool) -> None:
    """A long series that gets rows of a second group is asked for as it comes from then on."""
    async with loaded(tmp_path) as (running, upstream):
        await watch(running, upstream, 30)
        if absent:
            await let_chunks_go(running)
        grow(upstream, group="g")
        for _ in range(30):
            running.advance(6)
            for raw in ("limit=9", "limit=9&logGroup=g", "limit=8"):
                await right(running, upstream, f"logName=loss&{raw}")
            await running.settled()
        assert running.parts.series.loader.finished == 1


async def test_an_answer_for_all_names_has_a_sample(tmp_path: Path) -> None:
    """An answer for all names in full has a sample of a long series, which tells nothing of it."""
    async with loaded(tmp_path) as (running, upstream):
        (before,) = known_windows(running)
        question = replace(before.question, name=None)
        delta = split(said(upstream, question), question, sent_at_s=upstream.clock.now_s() + 1)
        assert delta.by_name["loss"].known is Known.SOME
        learner, tenant = running.parts.series.learner, running.parts.tenancy.current()
        assert await learner.grow(tenant, delta, ["loss"], persist=True)
        (after,) = known_windows(running)
        assert after.by_name["loss"].known is Known.ALL


async def test_a_sample_is_no_news(tmp_path: Path) -> None:
    """A sample of a long series is not compared with it, for which chunks would have to come back from disk."""
    async with loaded(tmp_path) as (running, upstream):
        await let_chunks_go(running)
        (before,) = known_windows(running)
        learner, tenant = running.parts.series.learner, running.parts.tenancy.current()
        came = split(said(upstream, before.question), before.question, sent_at_s=upstream.clock.now_s() + 1)
        await learner.install(tenant, came, persist=True, fresh_s=5)
        assert before in known_windows(running)


async def test_the_upstream_fails_once(tmp_path: Path) -> None:
    """A refresh that fails is no reason to load a long series again, nor to look at all of it at once."""
    async with loaded(tmp_path) as (running, upstream):
        await watch(running, upstream, 30)
        upstream.metrics_failing = True
        running.advance(6)
        grow(upstream)
        assert (await running.get(target("logName=loss&limit=9"))).status != 500
        await running.settled()
        upstream.metrics_failing = False
        running.advance(30)
        calls = await watch(running, upstream, 90, limits=(9, 10, 11))
        assert max(calls[1:]) <= 4
        assert running.parts.series.loader.begun == 1


async def test_a_delta_overtakes_a_look(tmp_path: Path) -> None:
    """A stretch that comes after a newer delta, with the rows that are known, counts as looked at. Other rows don't count."""
    async with loaded(tmp_path) as (running, upstream):
        await watch(running, upstream, 30)
        (window,) = known_windows(running)
        learner, tenant = running.parts.series.learner, running.parts.tenancy.current()
        at_s = window.tail_asked_s - 0.5
        for last in (15, None):
            question = replace(window.question, first=0 if last else ROWS - 15, last=last)
            upstream_said = said(upstream, question)
            assert not await learner.recheck(tenant, split(upstream_said, question, sent_at_s=at_s), again_s=9, persist=True)
            (after,) = known_windows(running)
            extent = after.by_name["loss"]
            assert extent.full_asked_between_s(question.first, question.last) == at_s
            assert extent.tail_asked_s == window.tail_asked_s
            upstream.log("loss", [question.first + 5], value=9)
            changed = split(said(upstream, question), question, sent_at_s=at_s)
            for came in (changed, replace(changed, by_name={})):
                assert not await learner.recheck(tenant, came, again_s=9, persist=True)
            assert known_windows(running)[0].by_name["loss"].texts() == extent.texts()


def said(upstream: Any, question: MetricsQuery) -> bytes:
    """Return what the upstream says now."""
    body: bytes = upstream.answer(question.values)
    return body
