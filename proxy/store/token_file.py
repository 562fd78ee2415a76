"""The file with the tokens: what stands in it, and how it is read and replaced.

It holds no token, only what tells one again: its SHA-256. So what must be guarded is the writing: whoever can write to the file
can let anybody in. It is a file of its own, not a table of the cache's, which may be deleted at any time and is set aside when
it is broken: losing access rules that way would either shut everybody out or let everybody in.

Everything here blocks for a moment.
"""

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from proxy.core.access.grants import BEARER_PREFIX
from proxy.errors import TokenFileError

_MOST_BYTES = 16 * 2**20
_SECRET_BYTES = 32
# Others may not even read it, since it names projects. The group may, so that a service can read what an operator has written.
_FOREIGN = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0

# Up to the end of the year 9999.
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]


# A field that this version doesn't know might be a restriction: such a file is refused rather than read without it.
class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token: its name, the SHA-256 in hex that tells it, and what it may do. Times are seconds since the epoch."""

    name: Name
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    projects: Annotated[list[str], msgspec.Meta(min_length=1)] | None
    admin: bool
    created_at_s: Seconds
    expires_at_s: Seconds | None


class _Document(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: Literal[1] = 1
    tokens: list[Token]


_decoder = msgspec.json.Decoder(_Document)
Tokens = tuple[Token, ...]


def new_secret() -> str:
    """Return a new token, 256 random bits."""
    return BEARER_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def read_tokens(path: Path) -> Tokens:
    """Return the tokens in the file. Raises TokenFileError where it cannot be read, trusted or understood."""
    try:
        # Not waiting for anybody, should a named pipe lie there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 -- a descriptor, not a path
            _check_guarded(path, os.fstat(descriptor))
            content = file.read(_MOST_BYTES + 1)
    except OSError as exc:
        raise TokenFileError(f"the token file {path} cannot be read: {exc.strerror}") from exc
    if len(content) > _MOST_BYTES:
        raise TokenFileError(f"the token file {path} is larger than {_MOST_BYTES} bytes")
    try:
        tokens = _decoder.decode(content).tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise TokenFileError(f"the token file {path} is not what `pluto-proxy token` writes: {exc}") from exc
    if len({token.name for token in tokens}) < len(tokens) or len({token.sha256 for token in tokens}) < len(tokens):
        raise TokenFileError(f"the token file {path} has two tokens of one name or one hash")
    return tuple(tokens)


def edit_tokens(path: Path, change: Callable[[Tokens], Sequence[Token]], *, create: bool = False) -> None:
    """Replace the tokens by what `change` makes of them; nobody else edits the file meanwhile.

    `create`: there need not be a file yet. Raises TokenFileError, and whatever `change` raises: then nothing is changed.
    """
    try:
        path = path.resolve()
        if create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_directory(path.parent)
        with _locked(path):
            before = () if create and not path.exists() else read_tokens(path)
            _replace(path, msgspec.json.format(msgspec.json.encode(_Document(tokens=list(change(before)))), indent=2) + b"\n")
    except OSError as exc:
        raise TokenFileError(f"the token file {path} cannot be written: {exc.strerror}") from exc


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the right to edit the file. The lock is a file beside it, since the file itself is replaced each time."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _own_like(descriptor, path.parent.stat(), 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Put a file in the place of the one that is there: at every moment one of the two lies there, whole."""
    new = Path(f"{path}.new")
    # Left by one that was killed; whoever holds the lock may remove it.
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 -- a descriptor, not a path
            there = path.stat() if path.exists() else None
            mode = 0o600 if there is None else stat.S_IMODE(there.st_mode) & 0o640
            _own_like(descriptor, path.parent.stat() if there is None else there, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _own_like(descriptor: int, model: os.stat_result, mode: int) -> None:
    """Let root give the file to whom its directory or its predecessor belongs to: the user that the proxy runs as."""
    if os.geteuid() == 0:
        os.fchown(descriptor, model.st_uid, model.st_gid)
    if os.fstat(descriptor).st_gid == model.st_gid:
        os.fchmod(descriptor, mode)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_guarded(path: Path, found: os.stat_result) -> None:
    """Raise TokenFileError unless it is a file that nobody else can read, write or exchange."""
    if not stat.S_ISREG(found.st_mode):
        raise TokenFileError(f"the token file {path} is not a regular file")
    if found.st_mode & _FOREIGN:
        mode = stat.S_IMODE(found.st_mode)
        raise TokenFileError(f"the token file {path} may be read or written by others (mode {mode:04o}): chmod it to 0600")
    directory = path.resolve().parent
    # Whoever owns the directory could exchange the file as well; in one that everybody may add to, anybody could put one.
    if found.st_uid not in {os.geteuid(), _ROOT, directory.stat().st_uid}:
        raise TokenFileError(f"the token file {path} belongs to another user (uid {found.st_uid}): chown it to the proxy's own")
    # Where it is a link, the link could be exchanged too.
    for one in {directory, path.parent}:
        _check_directory(one)


def _check_directory(directory: Path) -> None:
    mode = directory.stat().st_mode
    if mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
        raise TokenFileError(
            f"the directory {directory} may be written by others (mode {stat.S_IMODE(mode):04o}), "
            "who could exchange the token file: chmod it to 0700 or set access.tokens_file to a file elsewhere"
        )
