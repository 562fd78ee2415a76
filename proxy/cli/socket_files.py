"""Unix sockets: files that clients connect to.

A process that is killed leaves its socket's file behind, and nobody can listen there until the file is gone. So a file that
nobody listens on is taken over. One that somebody listens on is theirs, and what is no socket is never removed.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from proxy.own_file import OwnFile, identity_of

# How long another process may take to open a socket in the same folder.
_PATIENCE_S, _PAUSE_S = 5.0, 0.02
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketFile(OwnFile):
    """A Unix socket that this process listens on, and which file its own is."""

    socket: socket.socket


async def open_socket_file(path: Path, *, mode: int, backlog: int) -> SocketFile:
    """Listen on a Unix socket whose file has a mode. Raises OSError with a message that says what is wrong."""
    async with _locked(path.parent):
        return _open(path, mode, backlog)


def _open(path: Path, mode: int, backlog: int) -> SocketFile:
    _check_folder(path.parent)
    if _is_left_over(path):
        path.unlink()
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(path))
    except OSError:
        opened.close()
        raise
    file = SocketFile(path=path, socket=opened, identity=identity_of(path))
    try:
        # Nobody can connect before it listens.
        path.chmod(mode)
        opened.listen(backlog)
    except OSError:
        file.remove()
        opened.close()
        raise
    opened.setblocking(False)
    return file


def reason_against(path: Path) -> str | None:
    """Say why nobody can listen on a Unix socket at a path, None where somebody can. The file is left as it is."""
    try:
        _check_folder(path.parent)
        _is_left_over(path)
    except OSError as exc:
        return exc.strerror
    return None if os.access(path.parent, os.W_OK) else "this user may not write to its folder"


@contextlib.asynccontextmanager
async def _locked(folder: Path) -> AsyncIterator[None]:
    """Keep other proxies from opening a socket in a folder: two must not take over one file at the same time.

    The lock is the folder's own, which leaves nothing behind. Raises OSError.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while not _lock(descriptor):  # noqa: ASYNC110 -- no event tells it
                    await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise OSError(errno.EAGAIN, f"another process holds a lock on {folder}") from None
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_folder(folder: Path) -> None:
    """Raise OSError where others could put a socket of their own in the place of this one, and be sent tokens."""
    mode = folder.stat().st_mode
    if mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
        shown = f"{stat.S_IMODE(mode):04o}"
        raise OSError(errno.EPERM, f"its folder may be written by others (mode {shown}); chmod go-w {folder}")


def _is_left_over(path: Path) -> bool:
    """Return whether there is a socket's file that nobody listens on. Raises OSError for anything else that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is something else than a socket, which is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
        trying.setblocking(False)
        match trying.connect_ex(str(path)):
            case errno.ECONNREFUSED:
                return True
            case errno.ENOENT:
                return False
            case 0 | errno.EAGAIN | errno.EINPROGRESS:
                raise OSError(errno.EADDRINUSE, "another process listens there already")
            case code:
                raise OSError(code, f"there is a socket that can't be tried: {os.strerror(code)}")
