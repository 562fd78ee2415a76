"""Series: one complete answer serves every panel; what isn't proven is asked."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.config import KeySource
from proxy.core.budget.line import Priority
from proxy.core.pieces import Work
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.proof import splitter
from tests.support.live_runs import WIDE
from tests.support.oracle import Asked, permitted
from tests.support.oracle_upstream import HeldUpstream, OracleUpstream, proxied, right, row, series_world, target
from tests.support.world import ManualClock, until

PANELS = [
    "limit=2000",
    "",
    "limit=100",
    "limit=7",
    "stepMin=10",
    "stepMin=10&stepMax=90",
    "stepMax=0",
    "limit=1",
    "limit=10000",
]


@pytest.mark.parametrize("quoted", [False, True])
async def test_every_panel_of_a_series_from_one_call(tmp_path: Path, quoted: bool) -> None:
    """Windows, limits and orders of one series cost one call, asked wide; each answer is the upstream's own."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7, quoted=quoted) for step in range(0, 600, 2))
        for panel in PANELS:
            await right(running, upstream, f"logName=loss&{panel}")
        assert upstream.asked == [target("logName=loss&limit=10000")]


async def test_a_computed_answer_is_like_any_other(tmp_path: Path) -> None:
    """It has the age of what it was made of, a tag, encodings, and is a hit the next time."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(600))
        await running.get(target("logName=loss"))
        running.advance(2)
        made = await running.get(target("logName=loss&limit=300"))
        assert made.cache_status == 'pluto-proxy; hit; ttl=3; detail="series"'
        assert made.headers["Age"] == "2"
        again = await running.get(target("logName=loss&limit=300"))
        assert again.cache_status == "pluto-proxy; hit; ttl=3"
        assert (await running.get(target("logName=loss&limit=300"), If_None_Match=made.headers["ETag"])).status == 304
        await running.flushed()
        await running.get(target("logName=loss&limit=300"), Accept_Encoding="gzip")
        await running.flushed()
        assert (await running.get(target("logName=loss&limit=300"), Accept_Encoding="gzip")).headers[
            "Content-Encoding"
        ] == "gzip"


async def test_a_wall_of_panels_costs_three_calls(tmp_path: Path) -> None:
    """Twelve panels of a run of which nobody knew anything: the first series, the size of the run, the whole run."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(
            row(f"m{number}", step, group=f"g{number % 2}") for number in range(8) for step in range(0, 200, number + 1)
        )
        panels = [f"logName=m{number % 8}&limit={1000 + number}" for number in range(12)]
        panels += ["", "logGroup=g1", "logGroup=g1&logName=m1&limit=9", "logGroup=g0&logName=m1", "logName=none"]
        await asyncio.gather(*(right(running, upstream, panel) for panel in panels))
        assert len(upstream.asked) <= 3
        calls = len(upstream.asked)
        for panel in panels:
            await right(running, upstream, f"{panel}&stepMin=3" if panel else "stepMin=3")
        assert len(upstream.asked) == calls


async def test_a_single_series_costs_one_call(tmp_path: Path) -> None:
    """Whoever reads one series of each run isn't charged for its size or the rest of it."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row(f"m{number}", 1) for number in range(8))
        for _ in range(3):
            await running.get(target("logName=m1"))
            running.advance(100)
        # Once its only row is known to stand still, it is enough to ask from there on.
        assert upstream.asked == [target(f"logName=m1&limit=10000{first}") for first in ("", "", "&stepMin=1")]


async def test_large_runs_are_not_asked_for_as_a_whole(tmp_path: Path) -> None:
    """Where a run may have more rows than the bound, its series are asked for one by one."""
    async with series_world(tmp_path, series__max_fetch_rows=1000) as (running, upstream):
        upstream.put(row(f"m{number}", step) for number in range(8) for step in range(200))
        for number in range(8):
            await right(running, upstream, f"logName=m{number}")
        assert not [path for path in upstream.asked if "logName" not in path and "details" not in path]
        await right(running, upstream)


async def test_an_answer_beyond_the_bound_is_given_up(tmp_path: Path) -> None:
    """A wide answer of too many bytes is dropped and the question asked as it came; the next time at once so."""
    async with series_world(tmp_path, series__max_fetch_bytes=5000) as (running, upstream):
        upstream.put(row("loss", step) for step in range(300))
        await right(running, upstream, "logName=loss&limit=10")
        assert upstream.asked == [target("logName=loss&limit=10000"), target("logName=loss&limit=10")]
        await right(running, upstream, "logName=loss&limit=11")
        assert upstream.asked[2:] == [target("logName=loss&limit=11")]
        # Whoever asks for all of it gets it: the bound is one for what nobody asked for.
        await right(running, upstream, "logName=loss&limit=10000")


async def test_long_series(tmp_path: Path) -> None:
    """A series that one answer cannot hold is asked for as it came, its windows as dense as they can be had."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(10_500))
        await right(running, upstream, "logName=loss&limit=100")
        await right(running, upstream, "logName=loss&limit=100&stepMin=100&stepMax=4000")
        calls = upstream.metrics_calls
        await right(running, upstream, "logName=loss&limit=50&stepMin=100&stepMax=4000")
        assert upstream.metrics_calls == calls
        await right(running, upstream, "logName=loss&limit=50")
        assert upstream.asked[len(upstream.asked) - upstream.metrics_calls + calls] == target("logName=loss&limit=50")


async def test_ties_are_left_to_the_upstream(tmp_path: Path) -> None:
    """A name with rows of two groups at one step is asked for as it came; the run's other names aren't."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("a", 1, group="g1"), row("a", 1, group="g2"), row("b", 1)])
        for raw in ("logName=a&limit=5", "logName=a&limit=6", "limit=7"):
            await right(running, upstream, raw)
            assert upstream.asked[-1] == target(raw)
        calls = len(upstream.asked)
        await right(running, upstream, "logName=b&limit=7")
        await right(running, upstream, "logName=b&limit=8")
        assert len(upstream.asked) <= calls + 1


async def test_empty_is_knowledge(tmp_path: Path) -> None:
    """A name, window or group known to be empty is answered without a call for as long as what says so is fresh."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("a", 5), row("b", 5)])
        for raw in ("", "logName=a", "logName=none", "stepMin=6", "logGroup=none", "logName=b&stepMax=4"):
            await right(running, upstream, raw)
        assert upstream.metrics_calls <= 2
        running.advance(11)
        upstream.put([row("none", 1)])
        await right(running, upstream, "logName=none")


async def test_growth_is_seen_within_the_lifetime(tmp_path: Path) -> None:
    """What is computed ages with what it is made of: after its lifetime the upstream is asked again, once for all panels."""
    async with series_world(tmp_path, freshness__stale_while_revalidate_s=0) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        for step in range(50, 60):
            for limit in (10, 20, 30):
                await right(running, upstream, f"logName=loss&limit={limit}")
            upstream.put([row("loss", step)])
            running.advance(5)
        assert upstream.metrics_calls == 10


async def test_after_a_restart(tmp_path: Path) -> None:
    """What was asked wide answers other questions after a restart as well, for as long as it is fresh."""
    clock = ManualClock()
    upstream = OracleUpstream(clock=clock)
    upstream.put(row("loss", step) for step in range(300))
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url) as running:
            await right(running, upstream, "logName=loss&limit=10")
            await running.flushed()
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url) as running:
            assert "series" in (await right(running, upstream, "logName=loss&limit=9")).cache_status
        assert upstream.asked == []


async def test_a_failing_upstream(tmp_path: Path) -> None:
    """While the upstream fails, panels that were never asked are answered from what is there, and say that it is stale."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(300))
        await right(running, upstream, "logName=loss&limit=10")
        upstream.failing = True
        running.advance(100)
        stale = await right(running, upstream, "logName=loss&limit=9")
        assert 'detail="series; stale: upstream-failed"' in stale.cache_status
        assert stale.headers["Age"] == "100"
        assert (await running.get(target("logName=other"))).status == 502
        upstream.failing = False
        running.advance(10)
        fresh = await right(running, upstream, "logName=loss&limit=9")
        assert fresh.headers["Age"] == "0"


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    """With series.enabled = false every question is asked as it came."""
    async with series_world(tmp_path, series__enabled="false") as (running, upstream):
        upstream.put(row("loss", step) for step in range(300))
        for limit in (5, 6):
            await right(running, upstream, f"logName=loss&limit={limit}")
        assert upstream.asked == [target("logName=loss&limit=5"), target("logName=loss&limit=6")]


async def test_other_layouts_are_not_computed_with(tmp_path: Path) -> None:
    """An upstream that prints otherwise is passed on as it comes; nothing is made of it."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("a", step) for step in range(5)])
        plain = upstream.answer
        upstream.instead = lambda query: plain(query).replace(b'{"metrics":[', b'{"metrics": [')
        for limit in (3, 4):
            reply = await running.get(target(f"logName=a&limit={limit}"))
            assert reply.body.startswith(b'{"metrics": [')
            assert upstream.asked[-1] == target(f"logName=a&limit={limit}")


async def test_a_key_that_changes_on_the_way(tmp_path: Path) -> None:
    """What is computed from an answer belongs to the key that it was fetched with, whoever began to ask for it."""
    path = tmp_path / "key"
    path.write_text("mlpi_A")
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: "runId=2" in path)
    upstream.put(row("loss", step) for step in range(50))
    settings = {"key": KeySource(path=path), "upstream__max_concurrency": 1}
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **settings) as running:
        first = asyncio.create_task(running.get(target("x").replace("runId=1", "runId=2")))
        await until(upstream.arrived)
        second = asyncio.create_task(running.get(target("logName=loss&limit=10")))
        line = running.parts.turnstile.budget.line
        while not line.waiting(Priority.PERSON):  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0)
        path.write_text("mlpi_now_B")
        upstream.gate.set()
        await asyncio.gather(first, second)
        path.write_text("mlpi_A")
        await right(running, upstream, "logName=loss&limit=10")


async def test_a_wide_answer_is_taken_apart_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many panels wait for it."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))
        taken = 0

        def counted(body: bytes, question: MetricsQuery, **further: Any) -> Work[Extents]:
            nonlocal taken
            taken += 1
            return splitting(body, question, **further)

        monkeypatch.setattr(splitter, "splitting", counted)
        await asyncio.gather(*(right(running, upstream, f"logName=loss&limit={limit}") for limit in range(100, 110)))
        assert upstream.asked == [WIDE]
        assert taken == 1


async def test_what_is_too_old_is_not_computed_with(tmp_path: Path) -> None:
    """What no client may get isn't taken apart, and nothing made of it takes room."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(7200)
        upstream.failing = True
        assert (await running.get(target("logName=loss&limit=11"))).status == 502
        assert running.parts.series.computer.computed == 1


@pytest.mark.parametrize("step", [-1, -(10**22)])
async def test_steps_below_zero_pass(tmp_path: Path, step: int) -> None:
    """Steps that the upstream's type doesn't have are passed on, and nothing is computed with them."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("loss", step)])
        upstream.instead = lambda _: next(permitted(upstream.rows.values(), Asked(first=step)))
        assert (await running.get(target("logName=loss&limit=3"))).status == 200
        assert upstream.asked[-1] == target("logName=loss&limit=3")


@pytest.mark.parametrize(("name", "group"), [("\ufffd", ""), ("a", "\ufffd")])
async def test_unreadable_names_are_not_computed_with(tmp_path: Path, name: str, group: str) -> None:
    """Names and groups of other bytes than UTF-8 are all printed alike: what looks like one may be two."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row(name, 1, group=group), row("b", 2)])
        for limit in (3, 4):
            await right(running, upstream, f"limit={limit}")
            assert upstream.asked[-1] == target(f"limit={limit}")


@pytest.mark.parametrize(
    "settings", [{"cache__memory_bytes": 0}, {"series__memory_bytes": 0}, {"cache__memory_bytes": 0, "series__memory_bytes": 0}]
)
async def test_without_memory(tmp_path: Path, settings: dict[str, int]) -> None:
    """Older answers on disk never take the place of newer wide ones."""
    async with series_world(tmp_path, freshness__stale_while_revalidate_s=0, **settings) as (running, upstream):
        for step in range(0, 50, 5):
            upstream.put(row("loss", step + more) for more in range(5))
            for raw in ("logName=loss&limit=10000", "logName=loss&limit=4", "logName=loss&limit=4&stepMin=3"):
                await right(running, upstream, raw)
                await running.flushed()
            running.advance(6)
        assert upstream.metrics_calls == 10
