"""What is handed over, and what happens where one of the two fails."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.app.parts import Parts
from proxy.core.freshness.purge import Purge
from proxy.restart import control, handing, taking
from proxy.restart.control import control_path
from proxy.restart.link import Link, framed
from proxy.restart.messages import PROTOCOL, BudgetGiven, FromNew, GiveFile, Hello, Ready, Withdrawn, Write
from proxy.restart.restart import Restart, take_over
from proxy.service.purging import Purged
from proxy.standin import Fault, FaultKind
from tests.restart.support import LOSS, Gate, eventually, new_proxy, old_proxy, stranger
from tests.support.world import METRICS, QUESTION, World, world


async def purge(running: World, *, soft: bool = False, run: str | None = None) -> Purged:
    """Purge everything that was asked for until now, or what a run may have to do with."""
    running.clock.advance(0.001)
    purged = await running.parts.purging.purge(Purge(at_s=running.clock.now_s(), soft=soft, run=run))
    running.clock.advance(0.001)
    return purged


async def test_what_the_old_one_stored_is_there(tmp_path: Path) -> None:
    """An answer that was asked for a moment before is a hit afterwards, and so is one that came while the old one ended."""
    async with old_proxy(tmp_path) as old:
        before = await old.get()
        gate = asyncio.Event()
        old.standin.faults.add(Fault(gate=gate))
        late = asyncio.create_task(old.get(LOSS + "&stepMin=5"))
        await old.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 2)
        async with new_proxy(tmp_path, old) as new:
            after = await new.get()
            assert after.is_hit
            assert after.body == before.body
            gate.set()
            answered = await late
            assert answered.status == 200
            assert answered.headers["Connection"] == "close"
            await old.flushed()
            again = await new.get(LOSS + "&stepMin=5")
            assert again.is_hit
            assert again.body == answered.body
            assert new.metrics_calls == 2


async def test_the_old_one_answers_by_connections_that_stay_and_then_ends_them(tmp_path: Path) -> None:
    """A hit that was answered the fast way before says that the connection ends, and the next request goes to the new one."""
    async with old_proxy(tmp_path) as old:
        replies = [await old.get() for _ in range(4)]
        assert replies[-1].is_hit
        assert "Connection" not in replies[-1].headers
        async with new_proxy(tmp_path, old) as new:
            requests = new.parts.web.intake.requests
            last = await old.get()
            assert last.body == replies[-1].body
            assert last.headers["Connection"] == "close"
            await old.parts.web.server.emptied(within_s=10)
            assert new.parts.web.intake.requests == requests
            assert (await old.get()).body == last.body
            assert new.parts.web.intake.requests == requests + 1


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("by_new", [False, True])
async def test_a_purge_holds_everywhere_while_both_answer(tmp_path: Path, *, soft: bool, by_new: bool) -> None:
    """Whoever is told of it, neither answers with what it takes, and neither does the file."""
    async with old_proxy(tmp_path) as old:
        await old.get()
        async with new_proxy(tmp_path, old) as new:
            assert (await new.get()).is_hit
            told, other = (new, old) if by_new else (old, new)
            purged = await purge(told, soft=soft)
            assert purged.on_disk
            assert old.parts.purging.purges.count == new.parts.purging.purges.count == 1
            assert not (await old.get()).is_hit
            new.parts.store.memory.clear()
            entry = await new.parts.store.get(other.parts.tenancy.current().namespace, QUESTION)
            assert entry is None or entry.purged or entry.sent_at_s > new.clock.now_s() - 0.001


@pytest.mark.parametrize("by_new", [False, True])
async def test_a_purge_while_the_old_one_cannot_let_go_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_new: bool
) -> None:
    """The new one answers without the file until it is free. Whatever was purged meanwhile isn't in the file then."""
    monkeypatch.setattr(taking, "_FILE_S", 0.01)
    async with old_proxy(tmp_path) as old:
        await old.get()
        await old.flushed()
        gate, give = asyncio.Event(), old.parts.store.disk.give

        async def give_late() -> bool:
            await gate.wait()
            return await give()

        monkeypatch.setattr(type(old.parts.store.disk), "give", lambda _store: give_late())
        async with new_proxy(tmp_path, old) as new:
            assert "in use" in (new.parts.store.disk.health or "")
            calls = new.metrics_calls
            assert not (await new.get(LOSS + "&stepMin=7")).is_hit
            assert (await new.get(LOSS + "&stepMin=7")).is_hit
            purged = await purge(new if by_new else old)
            assert not (by_new and purged.on_disk)
            assert new.parts.purging.purges.count == 1
            gate.set()
            await eventually(lambda: old.parts.store.disk.health is None)
            await eventually(lambda: _looked_again(new))
            assert not (await new.get()).is_hit
            assert new.metrics_calls == calls + 2
            await new.flushed()
            assert new.parts.store.disk.accepts_writes


def _looked_again(running: World) -> bool:
    running.clock.advance(1)
    return running.parts.store.disk.health is None


@pytest.mark.parametrize("steps", [(), (GiveFile(),), (GiveFile(), Ready())], ids=lambda steps: str(len(steps)))
async def test_a_new_one_that_fails_changes_nothing(tmp_path: Path, steps: tuple[GiveFile | Ready, ...]) -> None:
    """However far it came, the old one answers, asks the upstream and writes to its file as before; and the next may come."""
    async with old_proxy(tmp_path) as old:
        before = await old.get()
        for _ in range(2):
            with capture_logs() as logs:
                async with stranger(old.parts.store.disk.path) as other:
                    assert other.hello.addresses == ("127.0.0.1:0",)
                    for step in steps:
                        await other.ask(step)
                    assert any(isinstance(told, BudgetGiven) for told in other.heard) == (len(steps) == 2)
                    calls = old.metrics_calls
                    assert (await old.get()).body == before.body
                    assert old.metrics_calls == calls
                await eventually(lambda: any(line["event"] == "restart.failed" for line in logs))
            await eventually(lambda: old.parts.store.disk.health is None)
            old.advance(1)
        old.parts.store.memory.clear()
        assert (await old.get()).is_hit
        old.advance(1)
        assert not (await old.get(LOSS + "&stepMin=9")).is_hit
        await old.flushed()
        old.parts.store.memory.clear()
        assert (await old.get(LOSS + "&stepMin=9")).is_hit
        async with new_proxy(tmp_path, old) as new:
            assert (await new.get(LOSS + "&stepMin=9")).is_hit


async def test_what_is_put_and_purged_in_between_is_handed_on(tmp_path: Path) -> None:
    """While nobody has the file: an answer, one that is gone, a purge and the history reach the new one before it answers."""
    async with old_proxy(tmp_path) as old:
        await old.get()
        await old.flushed()
        async with stranger(old.parts.store.disk.path) as other:
            await other.ask(GiveFile())
            assert not any(isinstance(told, Write) for told in other.heard)
            assert not (await purge(old)).on_disk
            await old.get(LOSS + "&stepMin=5")
            old.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
            old.parts.store.memory.clear()
            assert (await old.get(LOSS + "&stepMin=6")).status == 404
            await old.parts.history.write()
            await other.ask(Ready())
            writes = [told for told in other.heard if isinstance(told, Write)]
            assert [len(told.purges) for told in writes] == [1]
            keys = {row.key for told in writes for row in told.rows}
            assert {LOSS + "&stepMin=5", "history"} <= keys
            assert isinstance(other.heard[-1], BudgetGiven)


async def test_only_one_takes_over_at_a_time(tmp_path: Path) -> None:
    """A second one is turned away, and the first isn't disturbed."""
    async with old_proxy(tmp_path) as old:
        path = old.parts.store.disk.path
        async with stranger(path) as first:
            await first.ask(GiveFile())
            with pytest.raises(OSError, match="turns this one away"):
                await asyncio.to_thread(take_over, path)
            await first.ask(Ready())
        await eventually(lambda: old.parts.store.disk.accepts_writes)


async def test_one_of_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose messages are others is left alone, and it is said what to do."""

    def greet_as_before(connection: socket.socket, _sockets: object) -> None:
        connection.send(framed(Hello(protocol=PROTOCOL - 1, pid=4711)))

    async with old_proxy(tmp_path) as old:
        monkeypatch.setattr(handing, "greet", greet_as_before)
        with pytest.raises(OSError, match="of a release that cannot hand over to this one: end it first"):
            await asyncio.to_thread(take_over, old.parts.store.disk.path)


async def test_the_old_one_ends_before_it_has_handed_over(tmp_path: Path) -> None:
    """The new one begins with an empty budget, and answers."""
    async with old_proxy(tmp_path) as old:
        await old.get()
        path = old.parts.store.disk.path
        taken = await asyncio.to_thread(take_over, path)
        assert taken is not None
    await taken.open()
    await taken.ended(within_s=10)
    await taken.aclose()
    assert not control_path(path).exists()


async def test_nonsense_ends_the_connection(tmp_path: Path) -> None:
    """What isn't a message of the protocol is logged, and the old one goes on."""
    async with old_proxy(tmp_path) as old:
        with capture_logs() as logs:
            async with stranger(old.parts.store.disk.path) as other:
                other.link._writer.write(b"\x00\x00\x00\x05hello")  # noqa: SLF001 -- nothing else would send it
                await other.link.lost()
            await eventually(lambda: any(line["event"] == "restart.failed" for line in logs))
        assert "restart.not_understood" in {line["event"] for line in logs}
        async with new_proxy(tmp_path, old) as new:
            assert (await new.get()).status == 200


async def test_nobody_to_take_over_from(tmp_path: Path) -> None:
    """There is no socket, or one that a killed process has left, or none that can be: then it is an ordinary start."""
    path = tmp_path / "cache" / "cache.sqlite"
    assert take_over(path) is None
    async with old_proxy(tmp_path):
        assert control_path(path).stat().st_mode & 0o777 == 0o600
        held = control.ControlSocket(tmp_path / "left")
    held.close()
    (tmp_path / "left").rename(control_path(path))
    assert take_over(path) is None
    async with old_proxy(tmp_path) as old:
        assert (await old.get()).status == 200
        async with stranger(path):
            pass


async def test_the_path_may_be_long(tmp_path: Path) -> None:
    """An address of a Unix socket holds about 100 bytes; a path may be longer."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    async with old_proxy(folder) as old:
        await old.get()
        async with new_proxy(folder, old) as new:
            assert (await new.get()).is_hit


async def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    """It is logged, and the proxy serves."""
    path = tmp_path / "cache" / "cache.sqlite"
    control_path(path).mkdir(parents=True)
    with capture_logs() as logs:
        async with old_proxy(tmp_path) as old:
            assert (await old.get()).status == 200
    assert "restart.unavailable" in {line["event"] for line in logs}
    assert [found.name for found in path.parent.iterdir() if ".control" in found.name] == [control_path(path).name]


async def test_another_user_is_turned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side talks to a process of somebody else's."""
    async with old_proxy(tmp_path) as old:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        monkeypatch.setattr(control, "_ADMINISTRATOR", 4712)
        with capture_logs() as logs:
            with pytest.raises(OSError, match="is of uid"):
                await asyncio.to_thread(take_over, old.parts.store.disk.path)
            await eventually(lambda: any(line["event"] == "restart.refused" for line in logs))


async def test_whatever_comes_while_nobody_has_the_file_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer, one that is gone, a purge, a key's organization, and what was done: the new one has them before it answers."""
    begin = taking.Taking.begin
    async with old_proxy(tmp_path) as old:
        await old.get()
        await old.get(LOSS + "&stepMin=6")
        points = len(old.parts.history.since(0))

        async def begin_late(self: taking.Taking, parts: Parts) -> None:
            assert not (await purge(old, run="2")).on_disk
            old.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
            old.parts.store.memory.clear()
            assert (await old.get(LOSS + "&stepMin=6")).status == 404
            assert (await old.get(LOSS + "&stepMin=5")).status == 200
            await old.parts.store.adopt("u", "f", "o", old_namespace="a", new_namespace="b")
            await old.parts.history.write()
            await begin(self, parts)

        monkeypatch.setattr(taking.Taking, "begin", begin_late)
        async with new_proxy(tmp_path, old) as new:
            assert len(new.parts.history.since(0)) >= points + 1
            assert new.parts.purging.purges.count == 1
            await new.flushed()
            new.parts.store.memory.clear()
            assert (await new.get(LOSS + "&stepMin=5")).is_hit
            assert await new.parts.store.disk.organization_of("u", "f") == "o"
            assert not (await new.get(LOSS + "&stepMin=6")).is_hit


async def test_a_new_one_that_takes_too_long_must_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one goes on and says so. The new one ends, however far it has come."""
    patience, begin = Gate(), taking.Taking.begin
    async with old_proxy(tmp_path, sleep=patience) as old:

        async def begin_late(self: taking.Taking, parts: Parts) -> None:
            patience.open()
            await self.ended(within_s=10)
            await begin(self, parts)

        monkeypatch.setattr(taking.Taking, "begin", begin_late)
        with pytest.raises(OSError, match="goes on: handing over took too long"):
            async with new_proxy(tmp_path, old):
                pass
        assert not old.ended.is_set()
        await eventually(lambda: _looked_again(old))
        assert (await old.get()).status == 200
        async with stranger(old.parts.store.disk.path) as other:
            await other.ask(GiveFile())
            await other.ask(Ready())
            patience.open()
            async with asyncio.timeout(10):
                await other.link.lost()
            assert isinstance(other.heard[-1], Withdrawn)
    assert patience.asked == [60, 60]


async def test_an_old_one_that_does_not_hand_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still: the new one gives up, since the old one may go on at any time."""
    monkeypatch.setattr(taking, "_BUDGET_S", 0.05)
    async with old_proxy(tmp_path) as old:
        stands = asyncio.Event()
        monkeypatch.setattr(handing.Handing, "_give_budget", lambda _self, _link: stands.wait())
        with pytest.raises(OSError, match="goes on: handing over took too long"):
            async with new_proxy(tmp_path, old):
                pass
        await eventually(lambda: _looked_again(old))
        assert (await old.get()).status == 200


async def test_an_old_one_that_dies_before_it_hands_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one begins without a token, and serves."""
    async with old_proxy(tmp_path) as old:

        async def die(_self: handing.Handing, link: Link[FromNew]) -> None:
            link.close()
            await asyncio.sleep(0)
            raise ConnectionError("died")

        monkeypatch.setattr(handing.Handing, "_give_budget", die)
        taken = await asyncio.to_thread(take_over, old.parts.store.disk.path)
        assert taken is not None
        async with world(tmp_path, standin=old.standin, upstream=old.upstream, clock=old.clock, restart=Restart(taken)) as new:
            assert new.parts.turnstile.tokens == 0
            new.advance(1)
            assert (await new.get()).status == 200
