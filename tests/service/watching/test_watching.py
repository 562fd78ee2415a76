"""One watcher for each series: when it reads, and what disturbs it."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proxy.config import KeySource
from proxy.service.reader import Reader
from proxy.service.watching.looking import SeriesReader
from proxy.service.watching.values import Series
from proxy.service.watching.watching import LOOK_S, MOST_AT_ONCE, Watching
from proxy.standin.faults import Fault, FaultKind
from tests.support.event_streams import looked
from tests.support.live_runs import PROMPT, WHOLE, WIDE, begin, live
from tests.support.oracle_upstream import HeldUpstream, proxied
from tests.support.reloading import reload
from tests.support.tokens import purge
from tests.support.world import METRICS, ManualClock, World, until, world

LOSS = Series(project="p", run="1", metric="loss")
USUAL = Series(project="demo", run="1", metric="loss")


async def test_a_live_series_is_read_once_a_lifetime(tmp_path: Path) -> None:
    """However often it is looked round."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        with running.parts.watching.watch([LOSS], client="c"):
            await looked(running, seconds=6)
            upstream.asked.clear()
            for _ in range(600):
                await looked(running, seconds=0.1)
            assert 11 <= upstream.metrics_calls <= 12


async def test_an_ended_series_is_read_ever_less(tmp_path: Path) -> None:
    """As its answers live longer."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        upstream.say_status("COMPLETED", at_s=running.clock.now_s() - 3600)
        with running.parts.watching.watch([LOSS], client="c"):
            for _ in range(400):
                await looked(running, seconds=3)
            upstream.asked.clear()
            for _ in range(400):
                await looked(running, seconds=3)
            assert upstream.metrics_calls < 10


async def test_a_run_that_goes_on_again(tmp_path: Path) -> None:
    """It is read once anybody has learned of it, not when answers about a run that has ended would be stale."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        upstream.say_status("COMPLETED", at_s=running.clock.now_s() - 3600)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            for _ in range(400):
                await looked(running, seconds=3)
            upstream.asked.clear()
            for _ in range(40):
                await looked(running, seconds=6)
                if upstream.metrics_calls:
                    break
            assert upstream.metrics_calls
            upstream.say_status("RUNNING")
            upstream.log("loss", [100])
            running.advance(61)
            await running.parts.statuses.learn(running.parts.tenancy.current(), "2", "p")
            await looked(running, seconds=1)
            assert running.parts.watching.states(subscription)[0][1].through == 100


async def test_it_looks_by_itself_while_anybody_watches(tmp_path: Path) -> None:
    """Nobody but the room itself looks round here."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            number = 0
            for step in (100, 101):
                running.advance(6)
                upstream.log("loss", [step])
                async with asyncio.timeout(10):
                    while running.parts.watching.states(subscription)[0][1].through != step:
                        await subscription.wait(LOOK_S)
                assert running.parts.watching.number > number
                number = running.parts.watching.number


async def test_two_look_at_the_same_moment(tmp_path: Path) -> None:
    """One that is being read isn't read a second time."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda target: target.startswith(METRICS))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        watching = running.parts.watching
        with watching.watch([LOSS], client="c"), watching.watch([LOSS], client="d"):
            await until(upstream.arrived)
            await watching.look()
            await watching.look()
            upstream.gate.set()
            await watching.settled()
            assert upstream.metrics_calls == 1


async def test_who_goes_while_it_is_read(tmp_path: Path) -> None:
    """The last one's going ends the reading; what was known is remembered for who comes next."""
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda target: target.startswith(METRICS))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        with running.parts.watching.watch([LOSS], client="c"):
            await until(upstream.arrived)
        await running.parts.watching.settled()
        assert running.parts.watching.clients == 0
        upstream.gate.set()
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            await looked(running)
            ((_, state),) = running.parts.watching.states(subscription)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            assert running.parts.watching.states(subscription) == [(LOSS, state)]
            assert running.parts.watching.states(subscription, since=state.number) == []


async def test_a_purge_while_it_is_read(tmp_path: Path) -> None:
    """What may have been purged on its way is read again, and nothing is told of it."""
    upstream = HeldUpstream(clock=ManualClock())
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, **PROMPT) as running:
        begin(upstream)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            await looked(running)
            upstream.holds = lambda target: target.startswith(METRICS)
            running.advance(6)
            await running.parts.watching.look()
            await until(upstream.arrived)
            await purge(running, {"everything": True})
            running.advance(1)
            upstream.gate.set()
            await looked(running)
            await looked(running, seconds=1)
            ((_, state),) = running.parts.watching.states(subscription)
            assert state.through == 99


@pytest.mark.parametrize(("status", "code"), [(429, "upstream-busy"), (401, "key-refused")])
async def test_the_upstreams_condition_is_everybodys_trouble(tmp_path: Path, status: int, code: str) -> None:
    """Also of those whose own series were read."""
    async with world(tmp_path) as running:
        watching = running.parts.watching
        with watching.watch([USUAL], client="c") as subscription:
            await looked(running)
            assert watching.trouble(subscription) is None
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=status, retry_after_s=30, times=None))
            await running.get(f"{METRICS}?runId=1&projectName=demo&logName=other")
            await watching.look()
            trouble = watching.trouble(subscription)
            assert trouble is not None
            assert trouble.code == code


async def test_a_series_that_is_too_large_is_no_trouble_of_the_upstreams(tmp_path: Path) -> None:
    """It is asked for ever less; the others go on."""
    async with world(tmp_path, upstream__max_body_bytes=20_000) as running:
        none = Series(project="demo", run="1", metric="none")
        with running.parts.watching.watch([USUAL, none], client="c") as subscription:
            for _ in range(120):
                await looked(running, seconds=1)
            assert running.parts.watching.trouble(subscription) is None
            states = dict(running.parts.watching.states(subscription))
            assert (states[USUAL].version, states[none].version is None) == (None, False)
            # 24 lifetimes of the one, and some attempts at the other.
            assert running.metrics_calls < 24 + 15


async def test_faults_of_our_own_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of a reading, or of a look, is logged; the next one may succeed."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await _crash(running, monkeypatch, Reader, "read")
        await _crash(running, monkeypatch, Watching, "look")
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            running.advance(10)
            await looked(running)
            assert running.parts.watching.states(subscription)[0][1].through == 99


async def _crash(running: World, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Watch while a method fails, until it has been called."""
    called = asyncio.Event()

    async def fail(*_: Any, **__: Any) -> None:
        called.set()
        raise RuntimeError("a fault")

    with monkeypatch.context() as patch, running.parts.watching.watch([LOSS], client="c"):
        patch.setattr(owner, name, fail)
        await until(called)
        await asyncio.sleep(0)


async def test_another_organizations_key(tmp_path: Path) -> None:
    """Its data are others: all is read again, and nothing of the former is remembered."""
    path = tmp_path / "key"
    path.write_text("mlps_A")
    upstream = HeldUpstream(clock=ManualClock())
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, key=KeySource(path=path), **PROMPT) as running:
        begin(upstream)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            await looked(running)
            before = running.parts.watching.states(subscription)[0][1]
            assert before.through == 99
            path.write_text("mlps_B")
            running.advance(5)
            await running.get("/api/runs/projects")
            await running.parts.tenancy.settled()
            await looked(running)
            after = running.parts.watching.states(subscription)[0][1]
            assert after.through is None
            assert after.number > before.number


async def test_a_key_that_changes_while_it_is_read(tmp_path: Path) -> None:
    """What the key before saw is told to nobody any more, neither what was known nor what comes in then."""
    path = tmp_path / "key"
    path.write_text("mlps_A")
    upstream = HeldUpstream(clock=ManualClock())
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, key=KeySource(path=path), **PROMPT) as running:
        begin(upstream)
        watching = running.parts.watching
        with watching.watch([LOSS], client="c") as subscription:
            await looked(running)
            upstream.holds = lambda target: target.startswith(METRICS)
            upstream.log("loss", [100])
            running.advance(6)
            await watching.look()
            await until(upstream.arrived)
            path.write_text("mlps_B")
            running.advance(5)
            await running.get("/api/runs/projects")
            with watching.watch([LOSS], client="d") as other:
                ((_, state),) = watching.states(other)
                assert state.through is None
                assert (state.version or "").startswith("purged-")
                upstream.gate.set()
                await watching.settled()
                assert [state.through for _, state in watching.states(subscription)] == [None]
                await running.parts.tenancy.settled()
                await looked(running)
                ((_, after),) = watching.states(other)
                assert after.through is None
                assert not (after.version or "").startswith("purged-")


async def test_a_rule_that_is_found_broken(tmp_path: Path) -> None:
    """What was computed by it isn't vouched for: the series is read at once, however long it was to be left alone."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        upstream.say_status("COMPLETED", at_s=running.clock.now_s() - 3600)
        with running.parts.watching.watch([LOSS], client="c") as subscription:
            for _ in range(200):
                await looked(running, seconds=3)
            running.advance(1)
            running.parts.shelves.close()
            running.advance(1)
            upstream.asked.clear()
            await looked(running)
            assert WIDE in upstream.asked
            assert running.parts.watching.states(subscription)[0][1].through == 99


async def test_one_client_has_few_read_at_once(tmp_path: Path) -> None:
    """Those that need nothing of the upstream leave others their turns on the event loop, too."""
    async with live(tmp_path) as (running, upstream):
        names = [f"m{number}" for number in range(10 * MOST_AT_ONCE)]
        for name in names:
            begin(upstream, name)
        for _ in range(2):
            await running.get(WHOLE)
        await running.settled()
        watching, turns, read = running.parts.watching, Counter[int](), SeriesReader.read
        turn = 0

        async def counted(*given: Any, **named: Any) -> Any:
            turns[turn] += 1
            return await read(*given, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SeriesReader, "read", counted)
            with watching.watch([Series(project="p", run="1", metric=name) for name in names], client="c"):
                settling = asyncio.create_task(watching.settled())
                while not settling.done():
                    turn += 1
                    await asyncio.sleep(0)
        assert turns.total() == len(names)
        assert max(turns.values()) <= 2 * MOST_AT_ONCE


async def test_answers_that_are_stale_because_the_upstream_fails_are_trouble(tmp_path: Path) -> None:
    """By the code of what failed; a refresh that is under way is none."""
    async with world(tmp_path) as running:
        with running.parts.watching.watch([USUAL], client="c") as subscription:
            await looked(running)
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
            await looked(running, seconds=6)
            trouble = running.parts.watching.trouble(subscription)
            assert trouble is not None
            assert trouble.code in {"upstream-failed", "upstream-busy"}
            running.standin.faults.clear()
            for _ in range(3):
                await looked(running, seconds=61)
            assert running.parts.watching.trouble(subscription) is None


async def test_other_lifetimes_from_now_on(tmp_path: Path) -> None:
    """A series that was to be read much later is read soon, and then as often as the new settings want it."""
    usual: dict[str, Any] = {"freshness__running_s": 1000, "lifetimes__metrics_s": 1000, "freshness__client_floor_s": 0}
    async with world(tmp_path, **usual) as running:
        with running.parts.watching.watch([USUAL], client="c"):
            await looked(running, seconds=2)
            calls = running.metrics_calls
            await looked(running, seconds=50)
            assert running.metrics_calls == calls
            await reload(tmp_path, running, freshness__running_s=5, freshness__client_floor_s=0)
            for _ in range(3):
                await looked(running, seconds=6)
                assert running.metrics_calls > calls
                calls = running.metrics_calls
