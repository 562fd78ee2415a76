"""No event is lost: streams that break off and are taken up again, at any moment, also by another process."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.support.event_streams import Event, listening, looked, watching
from tests.support.live_runs import PROMPT, begin, live
from tests.support.oracle_upstream import OracleUpstream, proxied
from tests.support.tokens import purge
from tests.support.world import ManualClock, World

NAMES = ("loss", "accuracy", "rate")


@dataclass(slots=True)
class View:
    """What a client shows, by all that it was told."""

    shown: dict[str, tuple[str | None, int | None]] = field(default_factory=dict)
    last_id: str | None = None

    def note(self, event: Event) -> None:
        if event.name in {"state", "rows"}:
            self.shown |= event.series
        self.last_id = event.id or self.last_id

    async def follow(self, running: World, *, steps: int) -> None:
        """Take the stream up, and read so many events at most: the stream may break off with others unread."""
        async with listening(running.url, watching(*NAMES), last_id=self.last_id) as listener:
            self.note(await listener.next())
            for _ in range(steps):
                await looked(running, seconds=2)
                try:
                    async with asyncio.timeout(0.05):
                        self.note(await listener.next())
                except TimeoutError:
                    break

    async def catch_up(self, running: World) -> None:
        """Take the stream up until it has told all."""
        async with listening(running.url, watching(*NAMES), last_id=self.last_id) as listener:
            self.note(await listener.next())
            await looked(running, seconds=6)
            await looked(running, seconds=6)
            watched = running.parts.watching
            while listener.last_id is None or int(listener.last_id.rpartition("-")[2]) < watched.number:
                self.note(await listener.next())


async def test_only_what_changed_is_told_again(tmp_path: Path) -> None:
    """Of three series one changes while nobody listens: it alone is told of, by whoever notices it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, *NAMES)
        view = View()
        await view.catch_up(running)
        before = dict(view.shown)
        upstream.log("loss", [100])
        running.advance(6)
        async with listening(running.url, watching(*NAMES), last_id=view.last_id) as listener:
            assert (await listener.next()).data == {"series": []}
            await looked(running)
            told = await listener.until("rows")
            assert set(told.series) == {"loss"}
        # Another client noticed a change meanwhile: then the state itself tells of it.
        async with listening(running.url, watching("rate")) as other:
            await other.next()
            upstream.log("rate", [100])
            await looked(running, seconds=6)
            await other.until("rows")
        async with listening(running.url, watching(*NAMES), last_id=told.id) as listener:
            state = await listener.next()
            assert {name: through for name, (_, through) in state.series.items()} == {"rate": 100}
        assert before["accuracy"][1] == 99


@pytest.mark.parametrize(
    "last_id", ["nonsense", "-", "-5", "deadbeefdeadbeef-1", "{stem}-", "{stem}-999999", "{stem}-٣", "{other}"]
)
async def test_other_ids_get_everything(tmp_path: Path, last_id: str) -> None:
    """One of another process, of another list of series, or made up."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, *NAMES)
        view = View()
        await view.catch_up(running)
        async with listening(running.url, watching("loss")) as listener:
            other = (await listener.next()).id
        assert view.last_id is not None
        given = last_id.format(stem=view.last_id.partition("-")[0], other=other)
        async with listening(running.url, watching(*NAMES), last_id=given) as listener:
            assert (await listener.next()).series == view.shown


async def test_another_process_goes_on(tmp_path: Path) -> None:
    """The ids of the one before mean nothing to it. What didn't change has the same version, so that nothing is drawn anew."""
    upstream = OracleUpstream(clock=ManualClock())
    view = View()
    async with upstream.serve() as url:
        begin(upstream, *NAMES)
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await view.catch_up(running)
        before = dict(view.shown)
        upstream.log("loss", [100])
        async with proxied(tmp_path, upstream, url, **PROMPT) as running:
            await view.catch_up(running)
    assert view.shown["loss"][1] == 100
    assert {name: view.shown[name] for name in ("accuracy", "rate")} == {name: before[name] for name in ("accuracy", "rate")}


@pytest.mark.parametrize("seed", range(6))
async def test_no_event_is_lost(tmp_path: Path, seed: int) -> None:
    """Rows come, others ask, purges and failures happen, and the stream breaks off: in the end the client knows all."""
    random = Random(seed)  # noqa: S311 -- no secret depends on it
    view, steps = View(), dict.fromkeys(NAMES, 99)
    async with live(tmp_path) as (running, upstream):
        begin(upstream, *NAMES)
        for _ in range(25):
            match random.randrange(6):
                case 0 | 1:
                    name = random.choice(NAMES)
                    steps[name] += random.randint(1, 3)
                    upstream.log(name, [steps[name]])
                case 2:
                    await running.get(f"/api/runs/metrics?runId=1&projectName=p&logName={random.choice(NAMES)}")
                case 3:
                    await purge(running, {"metric": random.choice(NAMES)})
                case 4:
                    upstream.failing = random.random() < 0.3
                case _:
                    await view.follow(running, steps=random.randrange(4))
            running.advance(random.random() * 4)
        upstream.failing = False
        running.advance(61)
        await view.catch_up(running)
        assert {name: through for name, (_, through) in view.shown.items()} == steps
        fresh = View()
        await fresh.catch_up(running)
        assert view.shown == fresh.shown
