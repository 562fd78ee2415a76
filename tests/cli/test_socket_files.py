"""The files of Unix sockets: taken over from the dead, never from the living, and what is no socket is left alone."""

import asyncio
import errno
import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.cli import socket_files
from proxy.cli.socket_files import SocketFile, open_socket_file, reason_against


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as systemd makes it: its own user's."""
    place = tmp_path / "run"
    place.mkdir(mode=0o750)
    return place


def bound(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    opened = socket.socket(socket.AF_UNIX, kind)
    opened.bind(str(path))
    return opened


def left_over(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """What a process that was killed leaves."""
    bound(path, kind).close()


async def opened(path: Path, mode: int = 0o660) -> SocketFile:
    return await open_socket_file(path, mode=mode, backlog=8)


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trying:
        trying.setblocking(False)
        return trying.connect_ex(str(path)) in {0, errno.EAGAIN}


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("mask", [0o022, 0o077, 0])
async def test_the_mode(folder: Path, mode: int, mask: int) -> None:
    """It is what is set, whatever the process's mask is. Nothing is left in the folder at the end."""
    before = os.umask(mask)
    try:
        file = await opened(folder / "s", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "s").stat().st_mode) == mode
    assert answers(folder / "s")
    file.socket.close()
    file.remove()
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
async def test_it_is_taken_over_from_the_dead(folder: Path, kind: socket.SocketKind) -> None:
    """A file that nobody listens on is removed, whoever it was from."""
    left_over(folder / "s", kind)
    assert reason_against(folder / "s") is None
    file = await opened(folder / "s")
    assert answers(folder / "s")
    file.socket.close()
    file.remove()


async def test_somebody_listens_there(folder: Path) -> None:
    """Also where they don't accept, and where nobody else fits in; what isn't a stream is theirs as well."""
    with bound(folder / "s") as living:
        living.listen(0)
        for _ in range(3):
            with pytest.raises(OSError, match="another process listens there already"):
                await opened(folder / "s")
            assert reason_against(folder / "s") == "another process listens there already"
        assert answers(folder / "s")
    with bound(folder / "d", socket.SOCK_DGRAM), pytest.raises(OSError, match="can't be tried"):
        await opened(folder / "d")
    assert (folder / "d").is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link to a socket", "link to nothing", "pipe"])
async def test_what_is_no_socket(folder: Path, kind: str) -> None:
    """It is left alone, and named."""
    path, other = folder / "s", folder / "other"
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            if kind == "link to a socket":
                left_over(other)
            path.symlink_to(other)
    before = path.lstat()
    with pytest.raises(OSError, match="something else than a socket"):
        await opened(path)
    assert reason_against(path) == "there is something else than a socket, which is left alone"
    assert path.lstat() == before
    assert other.exists() == (kind == "link to a socket")


async def test_where_others_may_write(folder: Path) -> None:
    """There somebody could put their own socket in its place; but not in a folder that is everybody's, such as /tmp."""
    for mode, good in ((0o770, False), (0o757, False), (0o1777, True), (0o755, True)):
        folder.chmod(mode)
        if good:
            file = await opened(folder / "s")
            file.socket.close()
            file.remove()
            assert reason_against(folder / "s") is None
        else:
            with pytest.raises(OSError, match="may be written by others"):
                await opened(folder / "s")
            assert "chmod go-w" in (reason_against(folder / "s") or "")
    with pytest.raises(FileNotFoundError):
        await opened(folder / "none" / "s")
    assert reason_against(folder / "none" / "s") == "No such file or directory"


async def test_what_isnt_ours_any_more(folder: Path) -> None:
    """At the end only the file that was made is removed: not what has taken its place, and nothing twice."""
    file = await opened(folder / "s")
    (folder / "s").unlink()
    with bound(folder / "s"):
        file.remove()
        assert (folder / "s").is_socket()
    (folder / "s").unlink()
    file.remove()
    assert not list(folder.iterdir())
    file.socket.close()


async def test_one_of_many_wins(folder: Path) -> None:
    """However many take over the same file at the same time, one listens there, and the others are told so."""
    left_over(folder / "s")
    for _ in range(20):
        results = await asyncio.gather(*(opened(folder / "s") for _ in range(8)), return_exceptions=True)
        files = [result for result in results if isinstance(result, SocketFile)]
        assert len(files) == 1
        assert [str(result) for result in results if isinstance(result, OSError)] == [
            "[Errno 98] another process listens there already"
        ] * 7
        assert answers(folder / "s")
        files[0].socket.close()


async def test_a_lock_that_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever holds the folder's lock is waited for, but not forever."""
    monkeypatch.setattr(socket_files, "_PATIENCE_S", 0.05)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="another process holds a lock"):
        await opened(folder / "s")
    monkeypatch.setattr(socket_files, "_PATIENCE_S", 10.0)
    opening = asyncio.create_task(opened(folder / "s"))
    await asyncio.sleep(0)
    os.close(descriptor)
    file = await opening
    file.socket.close()
    file.remove()


async def test_what_fails_half_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a file whose mode can't be set, nor of one that can't be made."""

    def refuse(_path: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(PermissionError):
        await opened(folder / "s")
    assert not list(folder.iterdir())
    monkeypatch.undo()
    with pytest.raises(OSError, match="too long"):
        await opened(folder / ("x" * 120))
    assert not list(folder.iterdir())


STEPS = st.lists(st.sampled_from(["open", "kill", "end", "replace", "delete"]), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(STEPS)
def test_in_any_order(folder: Path, steps: list[str]) -> None:
    """Processes that open, end, are killed, and others that meddle: who listens is never robbed."""
    path = folder / "s"
    path.unlink(missing_ok=True)
    living: list[SocketFile] = []
    reachable: SocketFile | None = None
    for step in steps:
        match step:
            case "open":
                try:
                    file = asyncio.run(opened(path))
                except OSError:
                    assert reachable is not None
                else:
                    assert reachable is None
                    living.append(file)
                    reachable = file
            case "kill" | "end" if living:
                file = living.pop()
                file.socket.close()
                if step == "end":
                    file.remove()
                    assert file is not reachable or not path.exists()
                reachable = None if file is reachable else reachable
            case "replace":
                path.unlink(missing_ok=True)
                left_over(path)
                reachable = None
            case "delete":
                path.unlink(missing_ok=True)
                reachable = None
            case _:
                pass
        assert answers(path) == (reachable is not None)
    for file in living:
        file.socket.close()
