"""Runs that say that they ended long ago, and whose rows are still coming: imports, late ranks, late deliveries."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from proxy.standin import Row, RunStatus, Standin
from tests.support.live_runs import HOUR_S, PANEL, PROMPT, YEAR_S, import_run, live, settle
from tests.support.oracle_upstream import OracleUpstream, proxied, right, series_world, target
from tests.support.world import ManualClock, World, world

OTHER = "logName=other&limit=10"
DETAILS = "/api/runs/details/1"
# By default an answer is fresh for 5 s, and for 5 s more it is handed out while it is refreshed.
AS_RUNNING_S = 10


def log(standin: Standin, steps: Iterable[int]) -> None:
    """Log rows of run 7."""
    standin.rows.insert(Row(run_id=7, log_name="loss", step=step, value=step / 7) for step in steps)


async def polls(running: World, upstream: OracleUpstream, *raws: str, times: int, every_s: float = 5) -> list[bytes]:
    """Poll some panels; return the last answers. Nothing is wrong for its age."""
    bodies: list[bytes] = []
    for _ in range(times):
        running.advance(every_s)
        bodies = [(await right(running, upstream, raw)).body for raw in raws]
        await running.settled()
    return bodies


async def missing_s(running: World, upstream: OracleUpstream, step: int, *, within_s: float) -> float:
    """Log a row, and tell how long it is missing for somebody who polls every 5 s."""
    upstream.log("loss", [step])
    waited_s = 0.0
    while f'"step":{step}}}'.encode() not in (await running.get(target(PANEL))).body:
        assert waited_s <= within_s, "the row is still missing"
        running.advance(5)
        await running.settled()
        waited_s += 5
    return waited_s


@pytest.mark.parametrize("after_s", [6, 20, 100, 290, 1000, 10_000])
async def test_rows_that_come_after_an_import(tmp_path: Path, after_s: float) -> None:
    """Whenever they come, they are missing for hardly longer than eleven times as long as the run had stood still before."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        await right(running, upstream, PANEL)
        await polls(running, upstream, PANEL, times=int(after_s // 5))
        running.advance(after_s % 5)
        assert await missing_s(running, upstream, 500, within_s=11 * after_s + AS_RUNNING_S) <= 3600 + AS_RUNNING_S
        # From then on it is settling, and rows come to be seen as those of a running run.
        for step in range(501, 530):
            await missing_s(running, upstream, step, within_s=AS_RUNNING_S)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED", "CANCELLED"])
async def test_the_last_write_to_a_run_counts(tmp_path: Path, status: str) -> None:
    """Where the upstream tells when the run's record was written, its rows are those of a running run until it has settled."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream, written=True, status=status)
        await right(running, upstream, PANEL)
        for number in range(8):
            await polls(running, upstream, PANEL, times=6)
            await missing_s(running, upstream, 500 + number, within_s=AS_RUNNING_S)


async def test_a_second_rank_that_ends(tmp_path: Path) -> None:
    """The run keeps the time of the first one's end; that the second one wrote to it is noticed with the next details."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        await right(running, upstream, PANEL)
        await polls(running, upstream, PANEL, times=200, every_s=15)
        upstream.written_s = upstream.clock.now_s()
        upstream.asked.clear()
        while DETAILS not in upstream.asked:
            await polls(running, upstream, PANEL, times=1, every_s=15)
        assert upstream.clock.now_s() - upstream.written_s <= HOUR_S + 15
        upstream.written_s = upstream.clock.now_s()
        await polls(running, upstream, PANEL, times=240, every_s=15)
        await missing_s(running, upstream, 500, within_s=600)


@pytest.mark.parametrize("written", [False, True])
async def test_a_run_that_was_seen_running(tmp_path: Path, written: bool) -> None:
    """Whatever it says of its end, that wasn't before the last list that had it: it settles like any other run."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        await right(running, upstream, PANEL)
        await polls(running, upstream, PANEL, times=200)
        import_run(upstream, written=written)
        for number in range(8):
            await polls(running, upstream, PANEL, times=6)
            await missing_s(running, upstream, 500 + number, within_s=AS_RUNNING_S)


async def test_a_run_that_was_listed_before_anybody_looked_at_it(tmp_path: Path) -> None:
    """The list of running runs was asked for another one's sake; what it said counts."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        other = f"/api/runs/metrics?runId=2&projectName=p&{PANEL}"
        upstream.others = (2,)
        for _ in range(200):
            running.advance(5)
            await running.get(other)
            await running.settled()
        assert DETAILS not in upstream.asked
        await right(running, upstream, PANEL)
        import_run(upstream)
        await polls(running, upstream, PANEL, times=30)
        await missing_s(running, upstream, 500, within_s=AS_RUNNING_S)


async def test_metrics_that_come_one_after_another(tmp_path: Path) -> None:
    """That one metric has stood still for long says nothing of another one, which nobody has looked at yet."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("other", range(100), ago_s=YEAR_S)
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        await right(running, upstream, OTHER)
        await polls(running, upstream, OTHER, times=400)
        await right(running, upstream, PANEL)
        running.advance(3)
        await missing_s(running, upstream, 500, within_s=60 + AS_RUNNING_S)


async def test_a_metric_that_comes_up_late(tmp_path: Path) -> None:
    """Rows of one metric, which was known to have none, are a change of the run: the others are looked at as running again."""
    async with series_world(tmp_path) as (running, upstream):
        for name in ("loss", "other"):
            upstream.log(name, range(100), ago_s=YEAR_S)
        import_run(upstream)
        panels = (OTHER, PANEL, "logName=new")
        await polls(running, upstream, *panels, times=1500)
        assert target("limit=10000") in upstream.asked
        upstream.log("new", [1])
        for _ in range(65):
            running.advance(5)
            await running.get(target("logName=new"))
            await running.settled()
        assert (await running.get(target("logName=new"))).json["metrics"]
        await missing_s(running, upstream, 500, within_s=AS_RUNNING_S)


async def test_rows_that_one_answer_cannot_hold(tmp_path: Path) -> None:
    """A series that is only ever asked for as it comes is compared as a whole."""
    async with series_world(tmp_path) as (running, upstream):
        # Two groups at one step: never computed.
        for group in ("g1", "g2"):
            upstream.log("loss", range(100), group=group, ago_s=YEAR_S)
        import_run(upstream)
        await running.get(target(PANEL))
        for _ in range(40):
            running.advance(5)
            await running.get(target(PANEL))
            await running.settled()
        await missing_s(running, upstream, 500, within_s=11 * 200)
        for step in range(501, 510):
            running.advance(20)
            await missing_s(running, upstream, step, within_s=AS_RUNNING_S)


async def test_what_looking_again_costs(tmp_path: Path) -> None:
    """Of a run that ended long ago: for what is new after 5 s and a minute, for all of it after five, then every hour."""
    async with live(tmp_path) as (running, upstream):
        settle(upstream, "loss", range(100))
        import_run(upstream)
        await right(running, upstream, PANEL)
        began_s, looks = upstream.clock.now_s(), list[float]()
        for _ in range(3 * 720):
            before = upstream.metrics_calls
            await polls(running, upstream, PANEL, times=1)
            looks += [upstream.clock.now_s() - began_s] * (upstream.metrics_calls - before)
        assert looks == [5, 60, 300, 3600, 7200, 10_800]
        assert [path for path in upstream.asked if "stepMin" in path] == [target("logName=loss&limit=10000&stepMin=99")] * 2


async def test_a_dashboard_of_old_runs(tmp_path: Path) -> None:
    """Fifty runs of which nobody wrote anything for a year: no second call for any within a minute, then one, then one."""
    async with live(tmp_path) as (running, upstream):
        import_run(upstream)
        upstream.written_s = upstream.status_since_s
        panels = [f"/api/runs/metrics?runId={run}&projectName=p&{PANEL}" for run in range(2, 52)]
        calls: list[int] = []
        for _ in range(11):
            for panel in panels:
                assert (await running.get(panel)).status == 200
            for _ in range(12):
                running.advance(4.9)
                for panel in panels:
                    await running.get(panel)
                await running.settled()
            running.advance(1.2)
            calls.append(upstream.metrics_calls)
        assert calls[0] == 50
        assert calls[1:5] == [100] * 4
        assert calls[-1] <= 150
        assert upstream.asked.count("/api/runs/details/2") == 1


async def test_late_rows_of_a_run_of_which_nobody_wrote_anything_for_long(tmp_path: Path) -> None:
    """They are seen within a minute of the first look."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        upstream.written_s = upstream.status_since_s
        await right(running, upstream, PANEL)
        await polls(running, upstream, PANEL, times=2)
        await missing_s(running, upstream, 500, within_s=60)
        for step in range(501, 520):
            await missing_s(running, upstream, step, within_s=AS_RUNNING_S)


async def test_after_a_restart_one_look_is_enough(tmp_path: Path) -> None:
    """What is stored is looked at once more; that it is as it was hours ago is known from then on."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            upstream.log("loss", range(100), ago_s=YEAR_S)
            import_run(upstream)
            await right(running, upstream, PANEL)
            await polls(running, upstream, PANEL, times=200)
            await running.flushed()
        upstream.clock.advance(1000)
        upstream.asked.clear()
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await right(running, upstream, PANEL)
            assert upstream.metrics_calls == 1
            await polls(running, upstream, PANEL, times=700)
            assert upstream.metrics_calls == 1


async def test_after_a_restart_what_has_come_meanwhile_is_seen(tmp_path: Path) -> None:
    """The first look after it finds it, however long ago the run says that it ended; and then the run is settling."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url) as running:
            upstream.log("loss", range(100), ago_s=YEAR_S)
            import_run(upstream)
            await right(running, upstream, PANEL)
            await polls(running, upstream, PANEL, times=200)
            await running.flushed()
        upstream.clock.advance(1000)
        upstream.log("loss", [500])
        async with proxied(tmp_path, upstream, url) as running:
            await running.get(target(PANEL))
            running.advance(20)
            assert await missing_s(running, upstream, 501, within_s=AS_RUNNING_S) <= AS_RUNNING_S


@pytest.mark.parametrize(
    "written", ["2099-01-01T00:00:00Z", None, 1_780_000_000_000, "yesterday", "2026-01-01 00:00:00", {}, "", ...]
)
async def test_forms_of_the_last_write(tmp_path: Path, written: object) -> None:
    """One that is to come has not settled; what isn't understood says nothing, and the run's rows are looked at as ever."""
    async with live(tmp_path) as (running, upstream):
        upstream.log("loss", range(100), ago_s=YEAR_S)
        import_run(upstream)
        details = upstream.answer_details(1)
        assert isinstance(details, dict)
        upstream.details = details if written is ... else {**details, "updatedAt": written}
        await right(running, upstream, PANEL)
        await polls(running, upstream, PANEL, times=100)
        upstream.asked.clear()
        await polls(running, upstream, PANEL, times=10)
        assert upstream.metrics_calls == (10 if written == "2099-01-01T00:00:00Z" else 0)


async def test_an_import_in_the_stand_in(tmp_path: Path) -> None:
    """The very case: a hundred rows that come six seconds after a run was imported that ended a year ago."""
    clock = ManualClock()
    standin = Standin(clock=clock.now_s)
    async with world(tmp_path, standin=standin, clock=clock, series__enabled="true", series__shadow_s=0) as running:
        await running.parts.tenancy.settled()
        standin.catalogue.add(7, created_at_s=clock.now_s())
        standin.catalogue.change(7, status=RunStatus.COMPLETED, status_updated_s=clock.now_s() - YEAR_S)
        panel = "/api/runs/metrics?runId=7&projectName=demo&logName=loss"
        log(standin, range(100))
        assert len((await running.get(panel)).json["metrics"]) == 100
        running.advance(6)
        await running.get(panel)
        await running.settled()
        log(standin, range(100, 200))
        for _ in range(3):
            running.advance(5)
            rows = (await running.get(panel)).json["metrics"]
            await running.settled()
        assert len(rows) == 200
