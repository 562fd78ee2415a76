"""What `/view/events` tells its clients."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxy.standin.faults import Fault, FaultKind
from tests.support.event_streams import Listener, listening, looked, watching
from tests.support.live_runs import begin, live
from tests.support.oracle_upstream import OracleUpstream
from tests.support.tokens import purge
from tests.support.world import World, world


async def first_rows(listener: Listener, count: int = 1) -> dict[str, tuple[str | None, int | None]]:
    """Return what a stream tells of series once they were read for the first time."""
    known: dict[str, tuple[str | None, int | None]] = {}
    while len([version for version, _ in known.values() if version is not None]) < count:
        event = await listener.next()
        known |= event.series if event.name in {"state", "rows"} else {}
    return known


async def test_new_rows_are_told(tmp_path: Path) -> None:
    """A growing series has another version, and a later last step; one that stands still is not told of."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "loss", "accuracy")
        async with listening(running.url, watching("loss", "accuracy")) as listener:
            state = await listener.next()
            assert (state.name, set(state.series)) == ("state", {"loss", "accuracy"})
            first = await first_rows(listener, 2)
            assert {name: through for name, (_, through) in first.items()} == {"loss": 99, "accuracy": 99}
            upstream.log("loss", [100])
            await looked(running, seconds=6)
            grown = await listener.until("rows")
            assert grown.series["loss"][1] == 100
            assert grown.series["loss"][0] != first["loss"][0]
            upstream.log("accuracy", [200])
            await looked(running, seconds=6)
            assert (await listener.until("rows")).series["accuracy"][1] == 200


async def test_a_rewritten_row_is_told(tmp_path: Path) -> None:
    """The last step is the same; the version isn't."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        async with listening(running.url, watching("loss")) as listener:
            before = (await first_rows(listener))["loss"]
            upstream.log("loss", [99], value=5)
            await looked(running, seconds=6)
            after = (await listener.until("rows")).series["loss"]
            assert after[1] == before[1] == 99
            assert after[0] != before[0]


async def test_many_clients_cost_as_much_as_one(tmp_path: Path) -> None:
    """Of twenty clients on two series each call upstream is made once, and each client is told."""
    async with live(tmp_path) as (running, upstream), AsyncExitStack() as stack:
        begin(upstream, "loss", "accuracy")
        calls: list[int] = []
        for clients in (1, 7):
            opened = [
                await stack.enter_async_context(listening(running.url, watching("loss", "accuracy"))) for _ in range(clients)
            ]
            for listener in opened:
                await first_rows(listener, 2)
            await looked(running, seconds=6)
            upstream.asked.clear()
            for name in ("loss", "accuracy"):
                upstream.log(name, [100 + clients])
            await looked(running, seconds=6)
            calls.append(upstream.metrics_calls)
            for listener in opened:
                told = {**(await listener.until("rows")).series, **(await listener.until("rows")).series}
                assert {through for _, through in told.values()} == {100 + clients}
        assert calls == [1, 1]
        assert running.parts.watching.series == 2


async def test_nothing_is_read_where_nobody_watches(tmp_path: Path) -> None:
    """The last client's going ends it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        async with listening(running.url, watching("loss")) as listener:
            await first_rows(listener)
        await gone(running)
        upstream.asked.clear()
        await looked(running, seconds=60)
        assert upstream.asked == []
        assert running.parts.watching.series == 0


async def gone(running: World) -> None:
    """Wait until the proxy has noticed that nobody listens any more."""
    while running.parts.web.streams.open:
        await running.get("/livez")


async def test_others_requests_bring_news_at_once(tmp_path: Path) -> None:
    """What a panel asked for is told of at the next look, before the watcher itself is due."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        async with listening(running.url, watching("loss")) as listener:
            await first_rows(listener)
            running.advance(1)
            upstream.log("loss", [100])
            upstream.asked.clear()
            await running.get("/api/runs/metrics?runId=1&projectName=p&logName=loss", Cache_Control="no-cache")
            running.advance(4.5)
            await running.get("/api/runs/metrics?runId=1&projectName=p&logName=loss", Cache_Control="no-cache")
            asked = upstream.metrics_calls
            await looked(running)
            assert (await listener.until("rows")).series["loss"][1] == 100
            assert upstream.metrics_calls == asked


async def test_a_series_that_is_not_computed(tmp_path: Path) -> None:
    """Its version is that of the upstream's own sample."""
    async with live(tmp_path, series__enabled="false") as (running, upstream):
        upstream.log("loss", range(30_000))
        async with listening(running.url, watching("loss", "none")) as listener:
            known = await first_rows(listener, 2)
            assert known["loss"][1] == 29_999
            assert known["none"][1] is None
            upstream.log("loss", [30_000])
            await looked(running, seconds=6)
            assert (await listener.until("rows")).series["loss"][1] == 30_000


async def test_a_purge_is_a_change(tmp_path: Path) -> None:
    """What clients show is no longer current from then on; what the upstream says then comes next."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        async with listening(running.url, watching("loss")) as listener:
            before = (await first_rows(listener))["loss"]
            running.advance(1)
            await purge(running, {"metric": "other"})
            await looked(running)
            await purge(running, {"metric": "loss"})
            upstream.asked.clear()
            await looked(running, seconds=1)
            purged = (await listener.until("rows")).series["loss"]
            assert purged == ("purged-2", None)
            assert (await listener.until("rows")).series["loss"] == before
            assert upstream.metrics_calls >= 1


@pytest.mark.parametrize("ended", [False, True])
async def test_trouble_is_told_and_its_end(tmp_path: Path, ended: bool) -> None:
    """A failing upstream is told of once; so is that it is fine again. Meanwhile it is asked ever less."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        if ended:
            upstream.say_status("COMPLETED")
        async with listening(running.url, watching("loss")) as listener:
            await first_rows(listener)
            upstream.failing = True
            await looked(running, seconds=3700)
            trouble = await listener.until("trouble")
            assert set(trouble.data) == {"code", "title", "detail"}
            calls = await _calls_while_failing(running, upstream)
            assert calls < 60
            upstream.failing = False
            await _mended(running)
            assert (await listener.until("fine")).data == {}


async def _calls_while_failing(running: World, upstream: OracleUpstream) -> int:
    upstream.asked.clear()
    for _ in range(300):
        await looked(running, seconds=1)
    return len(upstream.asked)


async def _mended(running: World) -> None:
    for _ in range(5):
        await looked(running, seconds=61)


async def test_a_refused_key_is_told(tmp_path: Path) -> None:
    """By its own code, since the operator can do something about it."""
    async with world(tmp_path) as running, listening(running.url, watching("loss", project="demo")) as listener:
        await first_rows(listener)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=401, times=None))
        await looked(running, seconds=6)
        assert (await listener.until("trouble")).data["code"] == "key-refused"


async def test_what_the_upstream_refuses_has_a_version(tmp_path: Path) -> None:
    """A 404 of the upstream's is a state of the series like any other."""
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404, times=None))
        async with listening(running.url, watching("loss", project="demo")) as listener:
            version, through = (await first_rows(listener))["loss"]
            assert str(version).startswith("404-")
            assert through is None


async def test_heartbeats(tmp_path: Path) -> None:
    """A comment each 15 s."""
    async with world(tmp_path) as running, listening(running.url, watching("loss", project="demo")) as listener:
        await first_rows(listener)
        for _ in range(3):
            running.advance(15)
            assert (await listener.next()).data == "heartbeat"


def query(**changes: Any) -> str:
    """Return a faulty query."""
    pairs = {"project": ["p"], "run": ["1"], "metric": ["m"]} | changes
    return "&".join(f"{name}={value}" for name, values in pairs.items() for value in values)


@pytest.mark.parametrize(
    ("raw", "parameters"),
    [
        ("", {"project", "run", "metric"}),
        (query(project=["p", "q"]), {"project"}),
        (query(run=["x", "-1"]), {"run"}),
        (query(run=range(201)), {"run"}),
        (query(metric=range(201)), {"metric"}),
        (query(metric=[""]), {"metric"}),
        (query(run=range(21), metric=range(20)), {""}),
        (query(stepMin=["1"]), {"stepMin"}),
        ("project=%ff", {"project"}),
    ],
)
async def test_faulty_queries(tmp_path: Path, raw: str, parameters: set[str]) -> None:
    """Each fault is named."""
    async with world(tmp_path) as running:
        reply = await running.get(f"/view/events?{raw}")
        assert (reply.status, reply.json["code"]) == (400, "bad-query")
        assert {fault["parameter"] for fault in reply.json["faults"]} == parameters


async def test_other_spellings_are_the_same_series(tmp_path: Path) -> None:
    """Numbers are read as the upstream reads them; each series is watched once."""
    async with world(tmp_path) as running:
        target = "/view/events?run=1&run=1.0&run=%201&metric=loss&metric=loss&project=demo"
        async with listening(running.url, target) as listener:
            assert len((await listener.next()).data["series"]) == 1


async def test_head_and_other_methods(tmp_path: Path) -> None:
    """A HEAD gets the header fields, and no stream is opened."""
    async with world(tmp_path) as running:
        target = watching("loss", project="demo")
        head = await running.get(target, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Type"] == "text/event-stream"
        assert head.headers["Cache-Control"] == "private, no-cache"
        assert running.parts.web.streams.open == 0
        assert running.standin.counters.by_path["/api/runs/metrics"] == 0
        assert (await running.get(target, method="POST")).status == 405
