"""The Unix socket at which a new process finds the old one. It lies beside the cache file, for this user alone."""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from proxy.own_file import Identity, OwnFile, identity_of
from proxy.restart.link import framed
from proxy.restart.messages import FROM_OLD, PROTOCOL, Hello
from proxy.restart.sockets import ListeningSocket

# What an address of a Unix socket holds (108 bytes on Linux, 104 elsewhere), with its NUL.
_LONGEST = 103
_ADMINISTRATOR = 0
_UIDS = struct.Struct("3i")
_TIMEOUT_S = 5.0
_MOST_SOCKETS = 64
_MOST_HELLO_BYTES = 65_536


def control_path(cache: Path) -> Path:
    """Return where the processes that use a cache file meet."""
    return cache.absolute().with_name(f"{cache.name}.control")


class ControlSocket:
    """The socket that this process listens on. `remove` takes its file away, if it is still this one's."""

    def __init__(self, path: Path) -> None:
        """Listen. What another process left at the path is replaced. Raises OSError."""
        self._path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._file = self._bind()
        except BaseException:
            self.socket.close()
            raise

    def _bind(self) -> OwnFile:
        own = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        own.unlink(missing_ok=True)
        with _short(own) as address:
            self.socket.bind(address)
        try:
            # Nobody can connect before it listens.
            own.chmod(0o600)
            self.socket.listen()
            self.socket.setblocking(False)
            identity = identity_of(own)
            own.rename(self._path)
        except BaseException:
            own.unlink(missing_ok=True)
            raise
        return OwnFile(path=self._path, identity=identity)

    def remove(self) -> None:
        """Stop listening, and remove the file unless another process has replaced it."""
        self._file.remove()
        self.socket.close()

    def close(self) -> None:
        """Stop listening. The file is left to the process that took over, which replaces it."""
        self.socket.close()


def greet(connection: socket.socket, sockets: Sequence[ListeningSocket]) -> None:
    """Send the listening sockets to a process that connected. Raises OSError."""
    hello = Hello(
        protocol=PROTOCOL,
        pid=os.getpid(),
        addresses=tuple(opened.address for opened in sockets),
        files=tuple(None if opened.file is None else opened.file.identity for opened in sockets),
    )
    descriptors = [opened.socket.fileno() for opened in sockets]
    sent = socket.send_fds(connection, [framed(hello)], descriptors)
    if sent != len(framed(hello)):
        raise OSError("the other process does not read")


def meet(path: Path) -> tuple[socket.socket, Hello, list[ListeningSocket]] | None:
    """Connect to the process that listens at a path. Return the connection, its first message and its sockets, or None.

    Raises OSError where something listens there that isn't a process of this user, or doesn't answer.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_S)
    try:
        with _short(path) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()  # nobody is there, or its end was sudden
        return None
    except BaseException:
        connection.close()
        raise
    try:
        check_user(connection)
        hello, sockets = _read_hello(connection)
    except BaseException:
        connection.close()
        raise
    connection.setblocking(False)
    return connection, hello, sockets


def check_user(connection: socket.socket) -> None:
    """Raise PermissionError unless the process at the other end is this user's, or the administrator's.

    Where the system doesn't tell, the mode of the socket's file is all there is.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return
    _, uid, _ = _UIDS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UIDS.size))
    if uid not in {os.geteuid(), _ADMINISTRATOR}:
        raise PermissionError(f"the process at the other end of the control socket is of uid {uid}")


def _read_hello(connection: socket.socket) -> tuple[Hello, list[ListeningSocket]]:
    read, descriptors, _, _ = socket.recv_fds(connection, _MOST_HELLO_BYTES, _MOST_SOCKETS)
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    try:
        for opened in sockets:
            opened.set_inheritable(False)
        length = int.from_bytes(read[:4])
        while len(read) < length + 4 and (more := connection.recv(length + 4 - len(read))):
            read += more
        hello = _hello_of(read[4:], sockets=len(sockets))
        return hello, [_told(*told) for told in zip(hello.addresses, sockets, hello.files, strict=True)]
    except BaseException:
        for opened in sockets:
            opened.close()
        raise


def _hello_of(read: bytes, *, sockets: int) -> Hello:
    if not read:
        raise OSError("the running pluto-proxy turns this one away: its log has the reason (restart.refused)")
    with suppress(msgspec.DecodeError, ValueError):
        hello = FROM_OLD.decode(read)
        if isinstance(hello, Hello) and hello.protocol == PROTOCOL and len(hello.addresses) == len(hello.files) == sockets:
            return hello
    raise OSError("the running pluto-proxy is of a release that cannot hand over to this one: end it first")


def _told(address: str, opened: socket.socket, identity: Identity | None) -> ListeningSocket:
    file = None if identity is None else OwnFile(path=Path(opened.getsockname()), identity=identity)
    return ListeningSocket(address=address, socket=opened, file=file)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give an address of a path that isn't too long for one, however long the path is (on Linux)."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
