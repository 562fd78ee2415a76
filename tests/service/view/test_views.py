"""Views of series as a client gets them: complete or marked as sampled, as new as any answer, and of what may be seen."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proxy.config import KeySource
from proxy.core.series.metrics_query import MetricsQuery
from tests.support.long_series import ROWS, grow, loaded, log_long, small_answers
from tests.support.oracle_upstream import HeldUpstream, OracleUpstream, proxied, row, series_world
from tests.support.tokens import purge
from tests.support.views import VIEW, check_series, points_of, seen, series_of
from tests.support.world import METRICS, ManualClock, World, served, until


async def settled_view(running: World, raw: str = "metric=loss") -> dict[str, Any]:
    """Return the one series of a view, once nothing is asked upstream any more."""
    (told,) = await seen(running, raw)
    await running.settled()
    return told


@pytest.mark.parametrize(
    ("raw", "more"),
    [
        ("", {}),
        ("&points=10", {"most": 10}),
        ("&points=10&stepMin=100&stepMax=300", {"most": 10, "first": 100, "last": 300}),
        ("&points=50&smooth=7.5", {"most": 50, "smooth": 7.5}),
        ("&stepMin=290&smooth=20", {"first": 290, "smooth": 20}),
        ("&stepMin=5000", {"first": 5000}),
    ],
)
async def test_a_complete_series(tmp_path: Path, raw: str, more: dict[str, int]) -> None:
    """All rows count, NaN and infinities as well, and those before the window where the course is smoothed."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", 3 * step, value=math.sin(step)) for step in range(150))
        upstream.put(
            row("loss", 3 * step + 1, value=0, valueFlag=flag) for step, flag in enumerate(["NaN", "Inf", "-Inf", "NaN"])
        )
        for _ in range(2):
            (told,) = await seen(running, f"metric=loss{raw}")
            assert (told["run"], told["metric"], told["state"], told["error"]) == ("1", "loss", "complete", None)
            assert told["through"] == 447
            assert told["asked_at_s"] == told["full_asked_at_s"] == running.clock.now_s()
            check_series(told, points_of(upstream.rows.values()), **more)


async def test_several_runs_and_metrics(tmp_path: Path) -> None:
    """Run by run, in the order in which they were asked; what has no rows is empty."""
    async with series_world(tmp_path) as (running, upstream):
        for name in ("loss", "acc"):
            upstream.log(name, range(20))
        told = await seen(running, "run=2&metric=loss&metric=none&metric=acc&metric=loss")
        assert [(one["run"], one["metric"]) for one in told] == [
            (run, metric) for run in ("1", "2") for metric in ("loss", "none", "acc")
        ]
        assert [one["state"] for one in told] == ["complete", "empty", "complete", "empty", "empty", "empty"]
        empty = told[1]
        assert (empty["through"], empty["rows"], empty["width"]) == (None, 0, 1)
        assert empty["asked_at_s"] == running.clock.now_s()
        assert set(map(tuple, empty["columns"].values())) == {()}
        assert told[1]["version"] == told[4]["version"] != told[0]["version"]


async def test_a_live_series_only_adds_buckets(tmp_path: Path) -> None:
    """What is new comes by a delta, the version changes, and so it does where a row was written again."""
    async with series_world(tmp_path, freshness__stale_while_revalidate_s=0) as (running, upstream):
        log_long(upstream)
        before = await settled_view(running, "metric=loss&points=20")
        assert before["version"] == (await settled_view(running, "metric=loss&points=20"))["version"]
        calls = upstream.metrics_calls
        running.advance(6)
        upstream.log("loss", range(ROWS, ROWS + 5))
        after = await settled_view(running, "metric=loss&points=20")
        check_series(after, points_of(upstream.rows.values()), most=20)
        assert after["width"] == before["width"]
        assert upstream.metrics_calls == calls + 1
        assert "stepMin" in upstream.asked[-1]
        assert after["version"] != before["version"]
        assert after["asked_at_s"] == running.clock.now_s()
        assert after["full_asked_at_s"] == before["asked_at_s"]
        running.advance(6)
        upstream.put([row("loss", ROWS + 4, value=-5)])
        again = await settled_view(running, "metric=loss&points=20")
        check_series(again, points_of(upstream.rows.values()), most=20)
        assert again["version"] != after["version"]


async def test_a_sample_until_the_series_is_complete(tmp_path: Path) -> None:
    """A series that one answer can't hold is asked for like any question, and loaded once that pays."""
    with small_answers():
        async with series_world(tmp_path) as (running, upstream):
            log_long(upstream)
            told = await settled_view(running)
            assert (told["state"], told["through"]) == ("sampled", ROWS - 1)
            assert 20 < told["rows"] <= 41
            for _ in range(40):
                running.advance(6)
                told = await settled_view(running, "metric=loss&points=10&smooth=9")
                if told["state"] == "complete":
                    break
            assert told["state"] == "complete"
            check_series(told, points_of(upstream.rows.values()), most=10, smooth=9)


async def test_a_long_series_needs_no_rows_again(tmp_path: Path) -> None:
    """Its chunks may leave memory: what was made of them is kept, and what is new is added."""
    with small_answers():
        async with loaded(tmp_path) as (running, upstream):
            await running.flushed()
            told = await settled_view(running, "metric=loss&points=10&smooth=9")
            assert told["state"] == "complete"
            for _ in range(3):
                running.advance(6)
                grow(upstream)
                told = await settled_view(running, "metric=loss&points=10&smooth=9")
                check_series(told, points_of(upstream.rows.values()), most=10, smooth=9)
                told = await settled_view(running, "metric=loss&points=20&stepMin=30&stepMax=45")
                check_series(told, points_of(upstream.rows.values()), most=20, first=30, last=45)


async def test_where_nothing_is_computed(tmp_path: Path) -> None:
    """Without the series engine, a sample is all there is."""
    async with series_world(tmp_path, series__enabled="false") as (running, upstream):
        upstream.log("loss", range(100))
        (told,) = await seen(running)
        assert told["state"] == "sampled"
        check_series(told, points_of(upstream.rows.values()))


async def test_steps_that_rows_share(tmp_path: Path) -> None:
    """Rows of two groups at one step are never computed from; what pluto-api sent of them is one bucket."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row("loss", 1, value=1), row("loss", 1, group="g", value=3), row("loss", 2, value=5)])
        (told,) = await seen(running, "metric=loss&smooth=1")
        assert (told["state"], told["rows"]) == ("sampled", 3)
        assert told["columns"]["count"] == [2, 1]
        assert told["columns"]["mean"] == [2.0, 5.0]


async def test_a_failed_series(tmp_path: Path) -> None:
    """Others are shown all the same, and it is shown once pluto-api answers again."""
    async with series_world(tmp_path, upstream__deadline_s=1) as (running, upstream):
        upstream.log("loss", range(10))
        await settled_view(running)
        upstream.metrics_failing = True
        known, failed = await seen(running, "metric=loss&metric=acc")
        assert known["state"] == "complete"
        assert (failed["state"], failed["asked_at_s"], failed["version"], failed["rows"]) == ("failed", None, "", 0)
        assert failed["error"]["code"] == "upstream-failed"
        assert failed["error"]["title"]
        assert failed["error"]["detail"]
        reply = await running.get(f"{VIEW}&metric=loss&metric=acc&format=csv")
        assert (reply.status, reply.json["code"]) == (502, "upstream-failed")


async def test_what_pluto_api_refuses(tmp_path: Path) -> None:
    """Its 4xx is a failure of the series, and so is an answer that isn't rows."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.instead = lambda _: b'{"metrics":[{"logName":"loss"}]}'
        (failed,) = await seen(running)
        assert failed["error"]["code"] == "upstream-bad-answer"

    async def refuse(request: web.Request) -> web.Response:
        if request.path.startswith(METRICS):
            return web.json_response({"error": "no"}, status=404)
        return await upstream.handle(request)

    upstream = OracleUpstream(clock=ManualClock())
    async with served(refuse) as url, proxied(tmp_path / "other", upstream, url) as running:
        (failed,) = await seen(running)
        assert (failed["state"], failed["error"]["code"]) == ("failed", "upstream-failed")
        assert "404" in failed["error"]["detail"]


def _loss() -> MetricsQuery:
    return MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)


@pytest.mark.parametrize("soft", [False, True])
async def test_a_purge_takes_what_was_made(tmp_path: Path, soft: bool) -> None:
    """What is shown after a purge was asked for after it; what was under way is looked at anew."""
    upstream = HeldUpstream(clock=ManualClock())
    upstream.log("loss", range(10))
    upstream.log("acc", range(10))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url) as running:
        upstream.gate.set()
        await settled_view(running)
        upstream.gate.clear()
        upstream.holds = lambda path: path.startswith(METRICS)
        viewing = asyncio.create_task(running.get(f"{VIEW}&metric=loss&metric=acc"))
        await until(upstream.arrived)
        upstream.put([row("loss", 3, value=77)])
        running.advance(1)
        await purge(running, {"metric": "loss", "mode": "soft" if soft else "hard"})
        assert running.parts.view.pyramids.of(running.parts.tenancy.current().namespace, _loss()).summaries == {}
        running.advance(1)
        upstream.gate.set()
        told = series_of(await viewing)
        check_series(told[0], points_of(upstream.rows.values()))


async def test_a_key_that_changes_meanwhile(tmp_path: Path) -> None:
    """One answer shows series of one organization: those that were seen with the key before are looked at anew."""
    path = tmp_path / "key"
    path.write_text("mlps_A")
    names = [f"m{number}" for number in range(20)]
    upstream = HeldUpstream(clock=ManualClock())
    for name in names:
        upstream.log(name, range(10))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, key=KeySource(path=path)) as running:
        upstream.holds = lambda target: target.startswith(METRICS)
        viewing = asyncio.create_task(running.get(f"{VIEW}&" + "&".join(f"metric={name}" for name in names)))
        await until(upstream.arrived)
        path.write_text("mlps_B")
        running.advance(5)
        await running.get("/api/runs/projects")
        upstream.gate.set()
        assert {one["state"] for one in series_of(await viewing)} == {"empty"}
