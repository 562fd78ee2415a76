"""Long series: once it pays, one is loaded by windows and answers all questions about it."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.core.budget.line import Priority
from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.proof.limits import Limits
from proxy.core.series import compacting, metrics_query
from proxy.core.series.evicting import chunks_of, without_chunks
from proxy.service.fetching.need import Reason
from tests.support.live_runs import WIDE, live
from tests.support.oracle import OracleRow
from tests.support.oracle_upstream import REFUSAL, HeldUpstream, OracleUpstream, proxied, right, row, series_world, target
from tests.support.world import ManualClock, World, until

MOST = 40
CHUNKS = compacting.ChunkSizes(rows=20, open_rows=12)


@pytest.mark.parametrize(("count", "gap"), [(45, 1), (100, 3), (333, 7), (500, 1)])
async def test_a_long_series_is_put_together(tmp_path: Path, count: int, gap: int) -> None:
    """After as many questions as it has windows these are asked for; from then on every panel of it is computed."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step * gap, value=step) for step in range(count))
            await poll(running, upstream, range(5, 5 + count // 10))
            calls = upstream.metrics_calls
            # As many for windows as had been asked for before, and some that showed how many rows there are.
            assert calls <= 2 * (count // 10) + 4
            for raw in ("limit=8", "limit=5", "limit=40", "stepMin=50&limit=7", "stepMin=3&stepMax=200&limit=30", "limit=3000"):
                reply = await right(running, upstream, f"logName=loss&{raw}")
                assert reply.is_hit, raw
            assert upstream.metrics_calls == calls
            assert running.parts.series.loader.finished == 1


async def zoom(running: World, upstream: OracleUpstream, count: int) -> None:
    """Ask so many windows that nobody has asked before, one after the other, never one up to the end."""
    for number in range(1, count + 1):
        await right(running, upstream, f"logName=loss&limit=3&stepMin={number}&stepMax={number + 60}")
        await running.settled()


async def test_zooms_alone_are_a_reason(tmp_path: Path) -> None:
    """Nobody asks all of a long series, so that nothing is known of where it has rows: one survey tells, and it is loaded."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__call_cost_rows=20) as (running, upstream):
            upstream.put(row("loss", step) for step in range(400))
            await zoom(running, upstream, 1)
            calls, loader = running.parts.fetching.fetcher.series_calls, running.parts.series.loader
            assert calls[Reason.LOAD] == 0, "a survey costs a call and its rows, which must have been paid before"
            await zoom(running, upstream, 60)
            assert loader.finished == 1
            windows = 400 / (MOST - PROVING_ROWS)
            assert calls[Reason.LOAD] <= 1 + 1.3 * windows + 1, "a survey, the windows and a check"
            before = upstream.metrics_calls
            await right(running, upstream, "logName=loss&limit=4&stepMin=2&stepMax=97")
            assert upstream.metrics_calls == before


async def test_a_survey_that_brings_everything(tmp_path: Path) -> None:
    """A series of which only parts were asked for may fit into one answer: then it is known, and there is no load."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__call_cost_rows=20) as (running, upstream):
            upstream.put(row("loss", 7 * step) for step in range(MOST // 2))
            await zoom(running, upstream, 30)
            assert running.parts.series.loader.begun == 0
            calls = upstream.metrics_calls
            assert calls < 30
            await right(running, upstream, "logName=loss&limit=2&stepMin=1")
            assert upstream.metrics_calls == calls


async def test_a_survey_that_is_refused(tmp_path: Path) -> None:
    """Where pluto-api refuses it the series is left alone for a while: the questions about it are answered all the same."""
    refused: list[str] = []

    class Refusing(OracleUpstream):
        async def handle(self, request: web.Request) -> web.Response:
            if "stepM" not in request.raw_path and "logName=loss" in request.raw_path:
                refused.append(request.raw_path)
                return web.Response(status=400, text=REFUSAL, content_type="application/json")
            return await super().handle(request)

    upstream = Refusing(clock=ManualClock())
    upstream.put(row("loss", step) for step in range(400))
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with upstream.serve() as url, proxied(tmp_path, upstream, url, series__call_cost_rows=20) as running:
            await zoom(running, upstream, 30)
            loader = running.parts.series.loader
            assert (loader.begun, loader.finished, loader.given_up) == (0, 0, 1)
            assert running.parts.fetching.fetcher.series_calls[Reason.LOAD] == 1
            assert refused


async def test_one_panel_is_no_reason(tmp_path: Path) -> None:
    """A long series of which one panel is looked at now and then is asked for as it came, and once in full, with a probe."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(100))
            for _ in range(4):
                await right(running, upstream, "logName=loss&limit=5")
                running.advance(100)
            await running.settled()
            assert running.parts.series.loader.finished == 0
            assert upstream.metrics_calls == 6


async def test_a_long_live_series_grows(tmp_path: Path) -> None:
    """Once it is put together a delta refreshes it."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, freshness__stale_while_revalidate_s=0) as (running, upstream):
            upstream.put(logged(0, 50))
            await poll(running, upstream, range(5, 15))
            assert running.parts.series.loader.finished == 1
            for more in range(5):
                calls = upstream.metrics_calls
                upstream.put(logged(50 + more, 51 + more))
                running.advance(6)
                for limit in (5, 9, 11):
                    await right(running, upstream, f"logName=loss&limit={limit}")
                assert upstream.metrics_calls == calls + 1
                assert "stepMin=4" in upstream.asked[-1]


def logged(first: int, last: int) -> Iterator[OracleRow]:
    """Yield rows that were logged every ten seconds."""
    for step in range(first, last):
        yield row("loss", step, time=str(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=10 * step)))


async def poll(running: World, upstream: OracleUpstream, limits: range, name: str = "loss") -> None:
    """Ask for one series with several limits, and wait for what that sets off."""
    for limit in limits:
        await right(running, upstream, f"logName={name}&limit={limit}")
        await running.settled()


async def test_after_a_restart_it_is_still_together(tmp_path: Path) -> None:
    """What was put together is on disk like any other series."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__memory_bytes=100_000) as (running, upstream):
            upstream.put(row("loss", step) for step in range(150))
            await poll(running, upstream, range(5, 25))
            await running.flushed()
            running.parts.shelves._shelves.clear()
            running.parts.store.memory.clear()
            calls = upstream.metrics_calls
            assert (await right(running, upstream, "logName=loss&limit=32")).is_hit
            assert upstream.metrics_calls == calls


async def test_what_cannot_be_put_together(tmp_path: Path) -> None:
    """More rows than may be held, or two of one step, and it is left alone for a while."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__max_rows=80) as (running, upstream):
            upstream.put(row("long", step) for step in range(300))
            upstream.put(row("tied", step) for step in range(60))
            upstream.put([row("tied", 55, group="g")])
            for name in ("long", "tied"):
                await poll(running, upstream, range(5, 40), name)
            assert running.parts.series.loader.finished == 0
            calls = upstream.metrics_calls
            for name in ("long", "tied"):
                await poll(running, upstream, range(4, 5), name)
            assert upstream.metrics_calls == calls + 2


async def test_questions_about_a_long_series_are_not_hoarded(tmp_path: Path) -> None:
    """A panel whose window moves on with every poll is a new question each time: only those of the last minutes count."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_rows=30) as (running, upstream):
            upstream.log("loss", range(400))
            for first in range(100, 200):
                await right(running, upstream, f"logName=loss&limit=5&stepMin={first}")
                running.advance(6)
            (questions,) = running.parts.series.loader._asked.values()
            assert len(questions) <= 51


async def test_an_empty_window_of_a_long_series(tmp_path: Path) -> None:
    """Whoever waits for rows beyond the end of a series that is too long to be complete costs a call a time, and no rows."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path, series__max_rows=60) as (running, upstream):
            upstream.log("loss", range(400))
            for _ in range(10):
                await right(running, upstream, "logName=loss&limit=5&stepMin=500&stepMax=600")
                running.advance(61)
            assert upstream.asked.count(WIDE.replace("10000", "20")) <= 1
            assert upstream.metrics_calls <= 11


async def loaded(running: World, upstream: OracleUpstream) -> None:
    """Look at a series twice, and wait until it is loaded."""
    before = running.parts.series.loader.finished
    await poll(running, upstream, range(5, 7))
    assert running.parts.series.loader.finished == before + 1


@pytest.mark.parametrize(("count", "calls"), [(5_001, 3), (7_500, 3), (10_000, 3)])
async def test_what_one_answer_holds_takes_a_probe(tmp_path: Path, count: int, calls: int) -> None:
    """A metric of up to 10,000 rows is asked for once, and a probe tells that it is no sample."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", 3 * step) for step in range(count))
        await poll(running, upstream, range(5, 7))
        assert upstream.metrics_calls == calls
        await running.parts.proof.checks.settled()
        calls = upstream.metrics_calls
        for raw in ("limit=9999", "limit=10000", "limit=7&stepMin=50", "limit=2000&stepMax=9000"):
            assert (await right(running, upstream, f"logName=loss&{raw}")).status == 200
        assert upstream.metrics_calls == calls
        assert running.parts.series.loader.begun == 0


@given(st.integers(21, 40), st.integers(0, 3), st.integers(1, 5))
@example(36, 3, 1)
@settings(max_examples=25)
async def test_rows_that_come_to_what_is_presumed(count: int, meanwhile: int, more: int) -> None:
    """Whatever comes between an answer and its probe: what is computed is what the upstream says."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST), TemporaryDirectory() as folder:
        async with live(Path(folder), limits=Limits()) as (running, upstream):
            upstream.put(row("loss", step) for step in range(count))
            upstream.meanwhile = [*[lambda: None] * meanwhile, lambda: upstream.put(row("loss", 100 + n) for n in range(more))]
            for limit in (5, 6):
                await running.get(target(f"logName=loss&limit={limit}"))
            await running.settled()
            # Where a probe was a question that had just been asked, there was a call less: what comes later is another matter.
            while upstream.meanwhile:
                upstream.meanwhile.pop(0)()
            running.advance(6)
            for limit in (7, 40, 3000):
                await right(running, upstream, f"logName=loss&limit={limit}")


@pytest.mark.parametrize("gap", [1, 9])
async def test_the_calls_of_a_load(tmp_path: Path, gap: int) -> None:
    """In earnest, and with nothing taken for granted: hardly more than full answers would take, a probe, and the check."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step * gap) for step in range(45_000))
        await loaded(running, upstream)
        assert running.parts.fetching.fetcher.series_calls[Reason.LOAD] <= 5 + 1 + (gap > 1)
        await right(running, upstream, "logName=loss&limit=9")
        await running.parts.proof.checks.settled()
        calls = upstream.metrics_calls
        for raw in ("limit=8", "limit=10000", "stepMin=50&limit=7", "stepMin=3&stepMax=30000&limit=3000"):
            await right(running, upstream, f"logName=loss&{raw}")
        assert upstream.metrics_calls == calls


@given(
    st.lists(st.integers(1, 20), min_size=60, max_size=300),
    st.sets(st.integers(0, 1_000), max_size=6),
    st.lists(st.tuples(st.integers(0, 25), st.integers(0, 2_000)), max_size=4),
)
@settings(max_examples=40, deadline=None)
async def test_loads_of_anything(gaps: list[int], late: set[int], meanwhile: list[tuple[int, int]]) -> None:
    """Whatever the steps are, and whatever comes while it is loaded: once it is loaded, answers are what the upstream says."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST), TemporaryDirectory() as folder:
        async with series_world(Path(folder), limits=Limits(), freshness__stale_while_revalidate_s=0) as (running, upstream):
            steps = list(accumulate(gaps))
            upstream.put(row("loss", step) for step in steps)
            await right(running, upstream, "logName=loss&limit=5")
            upstream.meanwhile = []
            for calls, step in sorted(meanwhile):
                upstream.meanwhile += [lambda: None] * max(0, calls - len(upstream.meanwhile))
                upstream.meanwhile.append(lambda step=step: upstream.put([row("loss", step, value=2)]))  # type: ignore[misc]  # mypy infers no lambda with a default
            upstream.meanwhile.append(lambda: upstream.put(row("loss", step, value=3) for step in late))
            await running.get(target("logName=loss&limit=6"))
            await running.settled()
            while upstream.meanwhile:
                upstream.meanwhile.pop(0)()
            # What was written meanwhile may be seen as late as everything is looked at again.
            running.advance(301)
            for raw in ("limit=7", "limit=40", "limit=13&stepMin=90", "limit=3000&stepMax=300", "limit=1"):
                await right(running, upstream, f"logName=loss&{raw}")
            await running.settled()


async def test_a_torn_load_is_mended(tmp_path: Path) -> None:
    """Rows that come late to a window that was read are asked for before it answers."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", 2 * step) for step in range(200))
            await right(running, upstream, "logName=loss&limit=5")
            upstream.meanwhile = [lambda: None] * 6 + [lambda: upstream.put([row("loss", 21), row("loss", 23)])]
            await loaded(running, upstream)
            calls = upstream.metrics_calls
            for raw in ("limit=8", "limit=39", "stepMin=15&stepMax=30", "limit=3000"):
                await right(running, upstream, f"logName=loss&{raw}")
            assert upstream.metrics_calls == calls


async def test_a_load_that_never_comes_together_is_given_up(tmp_path: Path) -> None:
    """A series that changes all the time is left alone for a while, and nothing of it is computed."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", 2 * step) for step in range(200))
            await right(running, upstream, "logName=loss&limit=5")
            numbers = iter(range(1, 399, 2))
            upstream.meanwhile = [lambda: upstream.put([row("loss", next(numbers))])] * 150
            await running.get(target("logName=loss&limit=6"))
            await running.settled()
            loader = running.parts.series.loader
            assert (loader.begun, loader.finished, loader.given_up) == (1, 0, 1)
            upstream.meanwhile.clear()
            await poll(running, upstream, range(7, 12))
            assert loader.begun == 1
            running.advance(301)
            await poll(running, upstream, range(7, 12))
            assert (loader.begun, loader.finished) == (2, 1)


async def test_an_interrupted_load_goes_on(tmp_path: Path) -> None:
    """Where pluto-api failed in between, what has come is not asked for again, and answers zooms meanwhile."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(400))
            await right(running, upstream, "logName=loss&limit=5")
            upstream.meanwhile = [lambda: None] * 8 + [lambda: setattr(upstream, "failing", True)]
            await running.get(target("logName=loss&limit=6"))
            await running.settled()
            loader = running.parts.series.loader
            assert (loader.begun, loader.finished, loader.given_up) == (1, 0, 0)
            upstream.failing = False
            await right(running, upstream, "logName=loss&limit=10&stepMin=5&stepMax=50")
            first = upstream.asked[-1]
            assert "limit=10&" not in first
            running.advance(11)
            upstream.asked.clear()
            await loaded(running, upstream)
            assert not any(path.endswith("&stepMax=13") for path in upstream.asked)
            begun = [path for path in upstream.asked if "stepMin" in path]
            assert int(begun[0].partition("stepMin=")[2].partition("&")[0]) > 40
            calls = upstream.metrics_calls
            await right(running, upstream, "logName=loss&limit=40")
            assert upstream.metrics_calls == calls


async def test_an_interrupted_load_goes_on_where_chunks_have_left_memory(tmp_path: Path) -> None:
    """What has come is read from disk again: the check at the end needs all of it."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST), patch.object(compacting, "SIZES", CHUNKS):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(400))
            await right(running, upstream, "logName=loss&limit=5")
            upstream.meanwhile = [lambda: None] * 8 + [lambda: setattr(upstream, "failing", True)]
            await running.get(target("logName=loss&limit=6"))
            await running.settled()
            await running.flushed()
            upstream.failing = False
            shelves, tenant = running.parts.shelves, running.parts.tenancy.current()
            series = metrics_query.MetricsQuery(run="1", project="p", name="loss", group=None, limit=5, first=0, last=None)
            for window in shelves.peek(tenant, series.in_full):
                chunks = [chunk.digest for chunk in chunks_of(window.by_name.values())]
                shelves.replace(tenant, window, without_chunks(window, chunks), persist=False)
            running.advance(11)
            await loaded(running, upstream)


async def test_a_load_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What had come lies in the cache file."""
    upstream = OracleUpstream(clock=ManualClock())
    upstream.put(row("loss", step) for step in range(400))
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with upstream.serve() as url:
            async with proxied(tmp_path, upstream, url) as running:
                await right(running, upstream, "logName=loss&limit=5")
                upstream.meanwhile = [lambda: None] * 12 + [lambda: setattr(upstream, "failing", True)]
                await running.get(target("logName=loss&limit=6"))
                await running.settled()
                await running.flushed()
            upstream.failing = False
            upstream.asked.clear()
            upstream.clock.advance(20)
            async with proxied(tmp_path, upstream, url) as running:
                await poll(running, upstream, range(7, 10))
                assert running.parts.series.loader.finished == 1
                windows = [path for path in upstream.asked if "stepMin" in path and "limit=40" in path]
                assert len(windows) < 12


async def test_loads_give_way(tmp_path: Path) -> None:
    """A load's calls are prefetches; a client who asks for exactly what it asks for has it go first. One runs at a time."""
    held: list[str] = []
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "stepM" in path and not held.append(path))  # type: ignore[func-returns-value]  # None, as wanted
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with upstream.serve() as url, proxied(tmp_path, upstream, url, upstream__max_concurrency=2) as running:
            for name in ("loss", "other"):
                upstream.put(row(name, step) for step in range(400))
            for limit in (5, 6):
                await right(running, upstream, f"logName=loss&limit={limit}")
            await until(upstream.arrived)
            turnstile = running.parts.turnstile
            assert turnstile.budget._under_way[Priority.PREFETCH] == 1
            for limit in (5, 6, 7):
                await right(running, upstream, f"logName=other&limit={limit}")
            assert running.parts.series.loader.begun == 1
            asking = asyncio.ensure_future(running.get(held[0]))
            await running.arrived(6)
            upstream.gate.set()
            assert (await asking).status == 200
            await running.settled()
            assert running.parts.series.loader.finished == 1


async def test_a_series_that_takes_too_much_memory(tmp_path: Path) -> None:
    """It isn't loaded: it could not be kept."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__memory_bytes=20_000) as (running, upstream):
            upstream.put(row("loss", step) for step in range(400))
            await poll(running, upstream, range(5, 9))
            loader = running.parts.series.loader
            assert (loader.finished, loader.given_up) == (0, 1)
            assert running.parts.fetching.fetcher.series_calls[Reason.LOAD] <= 2


async def test_a_load_that_turns_out_not_to_pay(tmp_path: Path) -> None:
    """A sample doesn't tell how long its series is. The first window does; then the load is put off."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path, series__call_cost_rows=1) as (running, upstream):
            upstream.put(row("loss", 7 * step) for step in range(1_990))
            await poll(running, upstream, range(5, 7))
            loader = running.parts.series.loader
            assert (loader.begun, loader.finished, loader.given_up) == (1, 0, 0)
            assert running.parts.fetching.fetcher.series_calls[Reason.LOAD] <= 4


async def test_a_long_series_is_no_longer_trusted_blindly(tmp_path: Path) -> None:
    """While a long series is the only one that is computed, a broken rule is found out, and its mending, too."""
    with patch.object(metrics_query, "MAX_LIMIT", 2_000):
        async with series_world(tmp_path, series__shadow_s=1) as (running, upstream):
            upstream.put(logged(0, 9_000))
            await loaded(running, upstream)
            checks = running.parts.proof.checks
            for number in range(10, 30):
                await right(running, upstream, f"logName=loss&limit={number}")
                await checks.settled()
                running.advance(3)
            assert checks.trusted
            assert checks.passed
            upstream.instead = lambda query: upstream.answer({**query, "limit": max(1, int(query["limit"]) - 3)})
            for number in range(30, 60):
                await running.get(target(f"logName=loss&limit={number}"))
                await checks.settled()
                running.advance(6)
            assert not checks.trusted
            upstream.instead = None
            for number in range(60, 200):
                await running.get(target(f"logName=loss&limit={number}"))
                await checks.settled()
                running.advance(6)
            assert checks.trusted


def rewrite(upstream: OracleUpstream) -> None:
    """Write the rows again that a window has just ended with."""
    last = int(upstream.asked[-1].rpartition("stepMax=")[2])
    upstream.put(row("loss", step, value=7) for step in range(last - 2, last + 1))


def fill(upstream: OracleUpstream) -> None:
    """Let rows come everywhere between those that there are."""
    upstream.put(row("loss", step) for step in range(0, 800, 2))


def forget(upstream: OracleUpstream) -> None:
    """Let the series be deleted."""
    upstream.rows.clear()
    upstream.note()


def tie(upstream: OracleUpstream) -> None:
    """Let another group have a row at a step that has one."""
    upstream.put([row("loss", 601, group="g")])


def misspeak(upstream: OracleUpstream) -> None:
    """Answer something else from now on."""
    upstream.instead = lambda _: b'{"metrics":[ ]}'


def vary(upstream: OracleUpstream) -> None:
    """Let every other row be another one."""
    upstream.put(row("loss", step, value=9) for step in range(1, 800, 4))


@pytest.mark.parametrize(
    ("happens", "finishes"),
    [(rewrite, {5, 12}), (fill, ()), (vary, {5}), (forget, ()), (tie, ()), (misspeak, ())],
)
@pytest.mark.parametrize("calls", [5, 12, 40])
async def test_what_happens_to_a_series_while_it_is_loaded(
    tmp_path: Path, happens: Callable[[OracleUpstream], None], finishes: Collection[int], calls: int
) -> None:
    """Whatever it is, answers are right afterwards. Rows that are written again here and there don't end the load.

    `finishes`: after how many calls it may happen so that the load comes to its end all the same.
    """
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with live(tmp_path, limits=Limits()) as (running, upstream):
            upstream.put(row("loss", step) for step in range(1, 801, 2))
            await right(running, upstream, "logName=loss&limit=5")

            def happen() -> None:
                if "stepMax" in upstream.asked[-1]:
                    happens(upstream)
                else:
                    upstream.meanwhile.insert(0, happen)

            upstream.meanwhile = [lambda: None] * calls + [happen]
            await running.get(target("logName=loss&limit=6"))
            await running.settled()
            upstream.meanwhile.clear()
            upstream.instead = None
            loader = running.parts.series.loader
            assert loader.begun == 1
            # After 40 calls it is over.
            assert (loader.finished, loader.given_up) == ((1, 0) if calls == 40 or calls in finishes else (0, 1))
            running.advance(301)
            for raw in ("limit=7", "limit=39", "limit=13&stepMin=90", "limit=3000&stepMax=300"):
                await right(running, upstream, f"logName=loss&{raw}")
            await running.settled()


async def test_a_load_that_is_refused(tmp_path: Path) -> None:
    """Where pluto-api answers 400 all of a sudden, the series is left alone for a while."""
    refused: list[str] = []

    class Refusing(OracleUpstream):
        async def handle(self, request: web.Request) -> web.Response:
            if "stepMin" in request.query and "limit=40" in request.raw_path:
                refused.append(request.raw_path)
                return web.Response(status=400, text=REFUSAL, content_type="application/json")
            return await super().handle(request)

    upstream = Refusing(clock=ManualClock())
    upstream.put(row("loss", step) for step in range(400))
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with upstream.serve() as url, proxied(tmp_path, upstream, url) as running:
            await poll(running, upstream, range(5, 9))
            loader = running.parts.series.loader
            assert (loader.begun, loader.finished, loader.given_up, len(refused)) == (1, 0, 1, 1)


async def test_the_budget_of_loads(tmp_path: Path) -> None:
    """What pluto_proxy_series_loads_total and its like say."""
    with patch.object(metrics_query, "MAX_LIMIT", MOST):
        async with series_world(tmp_path) as (running, upstream):
            upstream.put(row("loss", step) for step in range(400))
            await loaded(running, upstream)
            told = (await running.get("/metrics")).body.decode()
            calls = running.parts.fetching.fetcher.series_calls[Reason.LOAD]
            assert calls > 400 / MOST
            for line in (
                'pluto_proxy_series_loads_total{what="begun"} 1',
                'pluto_proxy_series_loads_total{what="finished"} 1',
                'pluto_proxy_series_loads_total{what="given_up"} 0',
                f'pluto_proxy_series_calls_total{{reason="load"}} {calls}.0',
            ):
                assert line in told
