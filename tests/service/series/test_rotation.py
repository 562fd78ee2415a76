"""Long series are looked at again stretch by stretch, and whatever has changed is seen in time."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.proof.limits import Limits
from proxy.core.series.answers import split
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.service.fetching.need import Reason
from tests.support.long_series import (
    MOST,
    REWRITE_CHECK_S,
    ROWS,
    known_windows,
    loaded,
    log_long,
    small_answers,
    watch,
)
from tests.support.oracle_upstream import right

# A stretch has this many new rows: nine tenths of what an answer proves to be all, without the three that prove it.
STRETCH = MOST * 9 // 20 - 3


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_answers():
        yield


async def test_all_of_it_is_looked_at_at_an_even_pace(tmp_path: Path) -> None:
    """Within rewrite_check_s each stretch is asked for once, a few at a time, and the series is never loaded again."""
    async with loaded(tmp_path) as (running, upstream):
        rotation, made = running.parts.series.rotation, running.parts.fetching.fetcher.series_calls
        calls = await watch(running, upstream, 2 * REWRITE_CHECK_S)
        windows = -(-(ROWS + 2 * REWRITE_CHECK_S // 6) // STRETCH)
        assert running.parts.series.loader.finished == 1
        assert max(calls) <= 4
        # In three quarters of the time; a few stretches are shorter than they might be.
        assert 2 * windows <= made[Reason.ROTATION] <= 2 * 1.34 * windows + 4
        assert rotation.changes == 0
        # A delta each time, and hardly a probe.
        assert sum(calls) <= len(calls) + made[Reason.ROTATION] + 4


@pytest.mark.parametrize("step", [0, 1, STRETCH - 1, STRETCH, 77, ROWS - 40])
@pytest.mark.parametrize("what", ["written again", "deleted"])
async def test_a_row_that_changes_is_seen_in_time(tmp_path: Path, step: int, what: str) -> None:
    """Wherever it is: once rewrite_check_s is over, all answers have it."""
    async with loaded(tmp_path) as (running, upstream):
        await watch(running, upstream, 30)
        if what == "deleted":
            upstream.remove("loss", step)
        else:
            upstream.log("loss", [step], value=99)
        await watch(running, upstream, REWRITE_CHECK_S)
        assert running.parts.series.rotation.changes == 1
        calls = upstream.metrics_calls
        for raw in ("limit=40", "limit=3", f"limit=40&stepMin={max(0, step - 9)}&stepMax={step + 9}"):
            await right(running, upstream, f"logName=loss&{raw}")
        assert upstream.metrics_calls == calls
        assert running.parts.series.loader.finished == 1


async def test_rows_that_come_between_are_seen_in_time(tmp_path: Path) -> None:
    """An evaluation that logs at old steps, and rows that are twice as dense as before."""
    async with loaded(tmp_path) as (running, upstream):
        upstream.log("loss", [3 * step for step in range(ROWS, ROWS + 20)])
        await watch(running, upstream, 12)
        upstream.log("loss", [3 * step + 1 for step in range(ROWS, ROWS + 15)])
        await watch(running, upstream, REWRITE_CHECK_S)
        await right(running, upstream, "logName=loss&limit=40")
        await right(running, upstream, "logName=loss&limit=40&stepMin=440&stepMax=500")


async def test_what_changes_is_looked_at_again_soon(tmp_path: Path) -> None:
    """A stretch in which something had changed comes again after half of the time."""
    async with loaded(tmp_path) as (running, upstream):
        upstream.log("loss", [77], value=1)
        await watch(running, upstream, REWRITE_CHECK_S, grows=False)
        looked = [path for path in upstream.asked if "stepMin" in path and "stepMax" in path]
        first = next(number for number, path in enumerate(looked) if _holds(path, 77))
        assert any(_holds(path, 77) for path in looked[first + 1 :])


async def test_a_status_that_changed(tmp_path: Path) -> None:
    """When the run ends, nothing that was known before counts: what is handed out then was asked for since."""
    async with loaded(tmp_path) as (running, upstream):
        upstream.log("loss", [3], value=99)
        upstream.change_status("COMPLETED")
        await watch(running, upstream, 60, grows=False)
        await right(running, upstream, "logName=loss&limit=40&stepMax=30")


async def test_memory_that_holds_only_a_part(tmp_path: Path) -> None:
    """Chunks that have left memory come back for answers, and for looks at them."""
    async with loaded(tmp_path, series__memory_bytes=30_000) as (running, upstream):
        log_long(upstream, "other")
        for limit in range(5, 40):
            await right(running, upstream, f"logName=other&limit={limit}")
            await running.settled()
        assert running.parts.series.loader.finished == 2
        await watch(running, upstream, REWRITE_CHECK_S)
        windows = [*known_windows(running), *known_windows(running, "other")]
        assert any(chunk.rows is None for window in windows for chunk in chunks_of(window.by_name.values()))
        for name in ("loss", "other"):
            for first in range(0, ROWS, 17):
                await right(running, upstream, f"logName={name}&limit=40&stepMin={first}&stepMax={first + 30}")
            await right(running, upstream, f"logName={name}&limit=13")
        assert running.parts.series.loader.finished == 2


async def test_chunks_that_somebody_else_finds_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one cannot read, as what they know is out of date, says nothing of the chunks that another needs."""
    async with loaded(tmp_path) as (running, _):
        await running.flushed()
        shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
        (window,) = known_windows(running)
        digests = [chunk.digest for chunk in chunks_of(window.by_name.values())]
        gone = without_chunks(window, digests)
        assert shelves.replace(tenant, window, gone, persist=False)
        read = shelves._files.chunks

        async def reading(tenant: Any, selection: Any, wanted: Any) -> Any:
            await asyncio.sleep(0)
            if digests[2] in wanted:
                raise ValueError("lost")
            return await read(tenant, selection, wanted)

        monkeypatch.setattr(shelves._files, "chunks", reading)
        out_of_date = replace(gone, tail_asked_s=1.0)
        chunk = next(one for one in chunks_of(gone.by_name.values()) if one.digest == digests[2])
        one, other = await asyncio.gather(
            shelves.present(tenant, out_of_date, chunk.first, chunk.last), shelves.present(tenant, gone, 100, 105)
        )
        assert one is None
        assert other is not None
        assert known_windows(running)


async def test_a_restart_goes_on_with_the_turns(tmp_path: Path) -> None:
    """The ages of the stretches are on disk."""
    async with loaded(tmp_path) as (running, upstream):
        await watch(running, upstream, 60)
        await running.flushed()
        (before,) = known_windows(running)
        running.parts.shelves._shelves.clear()
        running.parts.store.memory.clear()
        await right(running, upstream, "logName=loss&limit=17")
        (after,) = known_windows(running)
        assert after.by_name["loss"].looks == before.by_name["loss"].looks != ()


async def test_a_stretch_is_claimed_as_far_as_it_was_reached(tmp_path: Path) -> None:
    """An answer that has the last known row of a stretch may have been cut behind it: a row that came there is still unseen."""
    async with loaded(tmp_path, limits=Limits()) as (running, upstream):
        (window,) = known_windows(running)
        upstream.log("loss", [ROWS + 50])
        running.advance(6)
        await right(running, upstream, "logName=loss&limit=9")
        await running.settled()
        # Nothing so large has been sent in the last minute.
        running.advance(90)
        (window,) = known_windows(running)
        question = replace(window.question.densest, first=ROWS - 10, last=ROWS + 20)
        body = upstream.answer(question.query.values)
        came = split(body, question, sent_at_s=upstream.clock.now_s(), overlap_s=0)
        fetched: Any = SimpleNamespace(entry=SimpleNamespace(body=body))
        stretch = running.parts.series.rotation._evidence.prove_stretch(fetched, came, window)
        assert stretch is not None
        assert stretch.question.last == ROWS - 1


def _holds(path: str, step: int) -> bool:
    values = dict(pair.split("=") for pair in path.partition("?")[2].split("&"))
    return int(values["stepMin"]) <= step <= int(values["stepMax"])
