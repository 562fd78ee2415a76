"""Whose the files of Unix sockets are: the old process's, until the new one serves in its place."""

import asyncio
import socket
import stat
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from proxy.config import load
from proxy.restart import taking
from proxy.restart.control import control_path
from proxy.restart.messages import GiveFile, Ready
from proxy.restart.restart import Restart, take_over
from proxy.restart.sockets import BY_SUPERVISOR, ListeningSocket
from tests.restart.support import Gate, beside, eventually, new_proxy, old_proxy, stranger, taking_over
from tests.support.world import World


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for sockets."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o750)
    return folder


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        return trying.connect_ex(str(path)) == 0


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def replaced(path: Path) -> socket.socket:
    """Put a socket of somebody else's in the place of one."""
    path.unlink()
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(path))
    path.chmod(0o640)
    return opened


async def goes_on(old: World, *paths: Path) -> None:
    """Hold a proxy to answering as it did, on sockets whose files have the mode that it gave them."""
    for path in paths:
        assert answers(path)
        assert mode_of(path) == 0o660
    old.advance(1)
    assert (await old.get()).status == 200


async def until_it_ends(new: AbstractAsyncContextManager[World]) -> None:
    """Run a proxy until it ends by itself."""
    async with new as running, asyncio.timeout(10):
        await running.ended.wait()


async def test_a_takeover_that_fails_removes_nothing(tmp_path: Path, place: Path) -> None:
    """An address of the new one's own is taken: what it has opened is gone, and the old one's socket is as it was."""
    kept, added, left = place / "kept", place / "added", place / "left"
    async with old_proxy(tmp_path, server__listen=f"unix:{kept},unix:{left}") as old:
        with socket.create_server(("127.0.0.1", 0)) as blocking:
            listen = f"unix:{kept},unix:{added},127.0.0.1:{blocking.getsockname()[1]}"
            new = beside(tmp_path, old, await taking_over(old), server__listen=listen, server__socket_mode="0600")
            with pytest.raises(OSError, match="something listens there already"):
                await until_it_ends(new)
        assert not added.exists()
        await goes_on(old, kept, left)
    assert not list(place.iterdir())


async def test_one_that_must_not_serve_removes_nothing(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It serves already when it is told that the old one goes on: only what is its own goes with it."""
    kept, added, left = place / "kept", place / "added", place / "left"
    patience, succeed = Gate(), taking.Taking.succeed

    async def succeed_late(self: taking.Taking) -> bool:
        patience.open()
        await self.ended(within_s=10)
        return await succeed(self)

    async with old_proxy(tmp_path, sleep=patience, server__listen=f"unix:{kept},unix:{left}") as old:
        with monkeypatch.context() as late:
            late.setattr(taking.Taking, "succeed", succeed_late)
            listen = f"unix:{kept},unix:{added}"
            new = beside(tmp_path, old, await taking_over(old), server__listen=listen, server__socket_mode="0600")
            with pytest.raises(OSError, match="goes on"):
                await until_it_ends(new)
        assert not added.exists()
        await goes_on(old, kept, left)
        async with new_proxy(tmp_path, old, server__listen=f"unix:{kept}") as following:
            assert (await following.get()).status == 200
    assert not list(place.iterdir())


async def test_who_serves_has_the_files(tmp_path: Path, place: Path) -> None:
    """Their mode is as the new one's settings have it, and those of addresses that it doesn't have are gone."""
    kept, left, others = place / "kept", place / "left", place / "others"
    async with old_proxy(tmp_path, server__listen=f"unix:{kept},unix:{left},unix:{others}") as old:
        with replaced(others):
            async with new_proxy(tmp_path, old, server__listen=f"unix:{kept}", server__socket_mode="0600") as new:
                await eventually(lambda: mode_of(kept) == 0o600)
                await eventually(lambda: not left.exists())
                assert others.exists()
                assert (await new.get()).status == 200
            assert not kept.exists()
            assert mode_of(others) == 0o640


async def test_what_has_taken_its_place_is_somebody_elses(tmp_path: Path, place: Path) -> None:
    """The old one's file was gone before: what lies there is no more the new one's than it was the old one's."""
    lost = place / "lost"
    async with old_proxy(tmp_path, server__listen=f"127.0.0.1:0,unix:{lost}") as old:
        control = control_path(old.parts.store.disk.path)
        was = control.stat().st_ino
        with replaced(lost):
            async with new_proxy(tmp_path, old, server__listen=f"127.0.0.1:0,unix:{lost}", server__socket_mode="0600") as new:
                assert (await new.get()).status == 200
                await eventually(lambda: control.stat().st_ino != was)
            assert mode_of(lost) == 0o640


async def test_an_old_one_that_ends_leaves_them_to_who_takes_over(tmp_path: Path, place: Path) -> None:
    """It is told to end while another process has its sockets, and is about to serve: without the file nobody reaches that."""
    kept = place / "kept"
    async with AsyncExitStack() as goes:
        async with old_proxy(tmp_path, server__listen=f"unix:{kept}") as old:
            other = await goes.enter_async_context(stranger(old.parts.store.disk.path))
            await other.ask(GiveFile())
            await other.ask(Ready())
        assert kept.exists()


async def test_a_supervisors_sockets_take_the_place_of_all(tmp_path: Path, place: Path) -> None:
    """Those of the old process are closed and gone then: nobody would answer who connects there."""
    left = place / "left"
    async with old_proxy(tmp_path, server__listen=f"unix:{left}") as old:
        taken = await asyncio.to_thread(take_over, old.parts.store.disk.path)
        assert taken is not None
        restart = Restart(taken)
        with socket.create_server(("127.0.0.1", 0)) as given:
            handed = [ListeningSocket(address=BY_SUPERVISOR, socket=given)]
            config = load(None, {"PLUTO_PROXY_LISTEN": f"unix:{left}"}).config
            assert restart.sockets(config, handed) == handed
            await taken.open()
            taken.inherit(mode=0o660)
            assert given.fileno() > 0
        assert not left.exists()
        await taken.aclose()
