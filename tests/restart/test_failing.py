"""One of the two fails, or stands still, half way: the other one waits for nothing, and has everything."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.core.freshness.purge import Purge
from proxy.restart import handing, link, purges, taking
from proxy.restart.control import control_path
from proxy.restart.link import Link
from proxy.restart.messages import (
    FROM_NEW,
    FROM_OLD,
    Forget,
    FromNew,
    FromOld,
    GiveFile,
    Go,
    Ready,
    Serving,
    Withdrawn,
    Write,
)
from proxy.restart.remote import RemoteBudget
from proxy.standin import Standin
from tests.restart.support import LOSS, Gate, beside, eventually, new_proxy, old_proxy, stranger, taking_over
from tests.store.support import stuck, writer
from tests.support.world import World


def events(logs: list[MutableMapping[str, Any]]) -> list[object]:
    return [line["event"] for line in logs]


async def went_on(old: World, logs: list[MutableMapping[str, Any]]) -> None:
    """Wait until a proxy has noticed that nobody takes over from it, and look whether it still is what it was."""
    await eventually(lambda: "restart.failed" in events(logs))
    for _ in range(20):
        await asyncio.sleep(0)
    old.advance(1)
    async with asyncio.timeout(10):
        assert (await old.get(f"{LOSS}&stepMin={len(logs)}")).status == 200
    async with new_proxy(old.parts.store.disk.path.parent.parent, old) as new:
        assert (await new.get()).status == 200


async def test_a_new_one_that_is_gone_gets_no_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes while all that waits is being handed to it: the old one goes on asking the upstream by itself."""
    async with old_proxy(tmp_path) as old:
        handing_on, gate = asyncio.Event(), asyncio.Event()
        disk = type(old.parts.store.disk)
        flush = disk.flush

        async def flush_late(_self: object) -> None:
            handing_on.set()
            await gate.wait()

        with capture_logs() as logs:
            async with stranger(old.parts.store.disk.path) as other:
                await other.ask(GiveFile())
                monkeypatch.setattr(disk, "flush", flush_late)
                asking = asyncio.create_task(other.ask(Ready()))
                async with asyncio.timeout(10):
                    await handing_on.wait()
            with pytest.raises(ConnectionError):
                await asking
            await eventually(lambda: "restart.failed" in events(logs))
            gate.set()
            monkeypatch.setattr(disk, "flush", flush)
            await went_on(old, logs)


async def test_a_purge_waits_for_nobody_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process that stands still carries out no purge, and writes nothing: the old one answers all the same."""
    monkeypatch.setattr(purges, "_PURGE_S", 0.05)
    monkeypatch.setattr(handing, "_WRITE_S", 0.05)
    async with old_proxy(tmp_path) as old, stranger(old.parts.store.disk.path) as other:
        await other.ask(GiveFile())
        await other.ask(Ready())
        other.deaf = True
        with capture_logs() as logs:
            async with asyncio.timeout(10):
                await old.parts.purging.purge(Purge(at_s=old.clock.now_s()))
        assert events(logs).count("restart.purge_not_told") == 1
        assert any(isinstance(told, Forget) for told in other.heard)
        assert any(isinstance(told, Write) for told in other.heard)


@pytest.mark.parametrize("succeeded", [False, True])
async def test_who_is_gone_is_told_of_no_purge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, succeeded: bool) -> None:
    """Neither one that failed, nor one that had taken over."""
    told: list[Purge] = []

    async def note(_link: Link[FromNew], purge: Purge) -> None:
        told.append(purge)

    monkeypatch.setattr(purges, "tell", note)
    async with old_proxy(tmp_path) as old:
        async with stranger(old.parts.store.disk.path) as other:
            await other.ask(GiveFile())
            await other.ask(Ready())
            if succeeded:
                await other.ask(Serving(pid=4711))
            await old.parts.purging.purge(Purge(at_s=old.clock.now_s()))
            assert len(told) == 1
        # Nothing waits for what it was asked any more once the line is its own again.
        await eventually(lambda: old.parts.turnstile.tokens == 0)
        await old.parts.purging.purge(Purge(at_s=old.clock.now_s()))
        assert len(told) == 1


async def until_it_ends(new: AbstractAsyncContextManager[World]) -> None:
    """Run a proxy until it ends by itself."""
    async with new as running, asyncio.timeout(10):
        await running.ended.wait()


async def test_serving_crosses_the_word_that_it_must_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one loses patience while the new one begins to serve: it goes on, and the new one ends, with an error."""
    patience, succeed = Gate(), taking.Taking.succeed
    async with old_proxy(tmp_path, sleep=patience) as old:
        restart = await taking_over(old)

        async def succeed_late(self: taking.Taking) -> bool:
            patience.open()
            await self.ended(within_s=10)
            return await succeed(self)

        monkeypatch.setattr(taking.Taking, "succeed", succeed_late)
        with capture_logs() as logs:
            with pytest.raises(OSError, match="goes on: handing over took too long"):
                await until_it_ends(beside(tmp_path, old, restart))
            assert restart.successor() == os.getpid()
            assert "restart.withdrawn" in events(logs)
            assert not old.ended.is_set()
            monkeypatch.setattr(taking.Taking, "succeed", succeed)
            await went_on(old, logs)


async def test_serving_that_comes_too_late_ends_nobody(tmp_path: Path) -> None:
    """It was on its way when the old one lost patience, which has said that it goes on, and does."""
    patience = Gate()
    async with old_proxy(tmp_path, sleep=patience) as old:
        with capture_logs() as logs:
            async with stranger(old.parts.store.disk.path) as other:
                await other.ask(GiveFile())
                await other.ask(Ready())
                # Both are there when the event loop looks next.
                patience.open()
                other.serve()
                async with asyncio.timeout(10):
                    await other.link.lost()
                assert isinstance(other.heard[-1], Withdrawn)
            assert not old.ended.is_set()
            await went_on(old, logs)


async def test_serving_is_acknowledged(tmp_path: Path) -> None:
    """From then on the old one doesn't go on."""
    async with old_proxy(tmp_path) as old, stranger(old.parts.store.disk.path) as other:
        await other.ask(GiveFile())
        await other.ask(Ready())
        await other.ask(Serving(pid=4711))
        assert old.ended.is_set()


@contextmanager
def no_room() -> Iterator[None]:
    """Have no descriptor free within."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.dup(0)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_room_for_a_connection(tmp_path: Path) -> None:
    """Where no connection can be accepted that is said once, and it is tried again: the next process may take over."""
    pause = Gate()
    async with old_proxy(tmp_path, sleep=pause) as old:
        with capture_logs() as logs:
            with socket.socket(socket.AF_UNIX) as waiting:
                with no_room():
                    waiting.connect(str(control_path(old.parts.store.disk.path)))
                    await eventually(lambda: pause.asked == [1])
                    pause.open()
                    await eventually(lambda: pause.asked == [1, 1])
                assert events(logs).count("restart.not_accepted") == 1
                pause.open()
                await eventually(lambda: "restart.begun" in events(logs))
            await eventually(lambda: "restart.failed" in events(logs))
        async with new_proxy(tmp_path, old) as new:
            assert (await new.get()).status == 200


async def test_the_old_one_ends_while_the_new_one_goes(tmp_path: Path) -> None:
    """It waits for a process that was about to take over, which is gone then: it writes what is left, and ends."""
    standin = Standin()
    async with standin.serve() as upstream, AsyncExitStack() as goes:
        async with old_proxy(tmp_path, standin=standin, upstream=upstream) as old:
            other = await goes.enter_async_context(stranger(old.parts.store.disk.path))
            await other.ask(GiveFile())
            await old.get(LOSS + "&stepMin=5")
            # The control socket goes first, then it waits.
            path = control_path(old.parts.store.disk.path)
            going = asyncio.create_task(gone_with(path, goes))
        await going
        async with old_proxy(tmp_path, standin=standin, upstream=upstream) as again:
            assert (await again.get(LOSS + "&stepMin=5")).is_hit


async def gone_with(path: Path, goes: AsyncExitStack) -> None:
    """Have a process go once a file has."""
    await eventually(lambda: not path.exists())
    await goes.aclose()


async def test_what_cannot_be_handled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in what a message does is logged. The old one goes on, and says so: it isn't gone."""

    def fail(_self: RemoteBudget, _message: object) -> None:
        raise RuntimeError("a fault")

    async with old_proxy(tmp_path) as old:
        with capture_logs() as logs:
            async with stranger(old.parts.store.disk.path) as other:
                await other.ask(GiveFile())
                await other.ask(Ready())
                monkeypatch.setattr(RemoteBudget, "go", fail)
                other.link.send(Go(ticket=1))
                async with asyncio.timeout(10):
                    await other.link.lost()
                assert isinstance(other.heard[-1], Withdrawn)
            assert "restart.crashed" in events(logs)
            await went_on(old, logs)


async def test_a_new_one_that_does_not_understand_must_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the connection, and the old one goes on: there are not to be two."""
    begin = handing.Handing._give_budget  # noqa: SLF001 -- nothing else would send it

    async def give_nonsense(_self: handing.Handing, other: Link[FromNew]) -> None:
        other._writer.write(b"\x00\x00\x00\x05hello")  # noqa: SLF001 -- nothing else would send it
        await other.lost()

    async with old_proxy(tmp_path) as old:
        monkeypatch.setattr(handing.Handing, "_give_budget", give_nonsense)
        with capture_logs() as logs:
            with pytest.raises(OSError, match="goes on"):
                await until_it_ends(beside(tmp_path, old, await taking_over(old)))
            assert "restart.not_understood" in events(logs)
            monkeypatch.setattr(handing.Handing, "_give_budget", begin)
            await went_on(old, logs)


async def test_a_disk_that_stands_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one can neither write what waits nor let go of the file: it hands over all the same, and the new one serves."""
    monkeypatch.setattr(taking, "_FILE_S", 0.05)
    monkeypatch.setattr(taking, "_BUDGET_S", 2.0)
    monkeypatch.setattr(handing, "_WRITE_S", 0.05)
    async with old_proxy(tmp_path) as old:
        await old.get()
        await old.flushed()
        async with stuck(writer(old.parts.store.disk)):
            assert (await old.get(LOSS + "&stepMin=5")).status == 200
            async with new_proxy(tmp_path, old) as new:
                assert (await new.get(LOSS + "&stepMin=6")).status == 200


async def test_one_that_reads_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be sent to a process that stands still is given up after a while, and so is who waits for it."""
    monkeypatch.setattr(link, "_CLOSE_S", 0.05)
    ends = socket.socketpair()
    with ends[1]:
        one = await Link.over(ends[0], FROM_NEW)
        running = asyncio.create_task(one.run(lambda _: None))
        one.send(Write(gone=(("n", "k" * 10_000_000, 1.0),)))
        asking = asyncio.create_task(one.ask(GiveFile()))
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await one.aclose()
            await running
        with pytest.raises(ConnectionError):
            await asking


async def test_all_is_sent_before_the_end() -> None:
    """One that reads gets everything, however much it is, and whenever it begins to."""
    ends = socket.socketpair()
    one, other = await Link.over(ends[0], FROM_NEW), await Link.over(ends[1], FROM_OLD)
    heard: list[FromOld] = []
    one.send(Write(gone=(("n", "k" * 10_000_000, 1.0),)))
    closing = asyncio.create_task(one.aclose())
    await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        await other.run(heard.append)
        await closing
    await other.aclose()
    assert [type(message) for message in heard] == [Write]


async def test_what_came_before_the_end_and_was_not_looked_at() -> None:
    """It counts no more once the connection is closed here, such as a Serving after the word that this end goes on."""
    ends = socket.socketpair()
    one, other = await Link.over(ends[0], FROM_NEW), await Link.over(ends[1], FROM_OLD)
    heard: list[FromNew] = []

    def handle(message: FromNew) -> None:
        heard.append(message)
        one.close()

    other.send(GiveFile())
    other.send(Serving(pid=4711))
    async with asyncio.timeout(10):
        await one.run(handle)
    await one.aclose()
    await other.aclose()
    assert [type(message) for message in heard] == [GiveFile]
