"""The file with the tokens: its content, and how it is read and replaced.

The file holds no token, only each one's SHA-256, by which a token is recognised. So it is writing that must be prevented:
whoever can write to the file can let anybody in. It is no table of the cache file, because that may be deleted at any time and
is set aside when it is damaged. Losing the access rules that way would shut everybody out or let everybody in.

Every function here blocks for a moment.
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
# Mode bits that a token file must not have. Others may not even read it, since it names projects. The group may read it, so
# that a service can read what an operator has written.
_FORBIDDEN_MODE = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0

# Seconds since the epoch, up to the end of the year 9999.
Seconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]


# A field that this version doesn't know might be a restriction. Reading the file without it could let too many in: it is
# refused.
class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One token: its name, its SHA-256 in hex, and what it may do; `projects` None is every project.

    Times are seconds since the epoch.
    """

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
TokenList = tuple[Token, ...]


def new_secret() -> str:
    """Return a new token, 256 random bits."""
    return BEARER_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def read_tokens(path: Path) -> TokenList:
    """Return the tokens in the file. Raises TokenFileError where it cannot be read, trusted or understood."""
    try:
        # O_NONBLOCK: should a named pipe lie there, opening it would wait for somebody to write.
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
        raise TokenFileError(f"the token file {path} has two tokens with the same name or hash: remove one of them")
    return tuple(tokens)


def edit_tokens(path: Path, change: Callable[[TokenList], Sequence[Token]], *, create: bool = False) -> None:
    """Replace the tokens by what `change` returns for them. A lock keeps others from editing the file meanwhile.

    `create`: make the file and its directory if there are none. Raises TokenFileError and whatever `change` raises; the file is
    unchanged then.
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
    """Hold the lock for editing the file. The lock is a file beside it, since the file itself is replaced by each edit."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _own_like(descriptor, path.parent.stat(), 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, content: bytes) -> None:
    """Replace the file at once: whoever reads meanwhile finds the old one or the new one, complete."""
    new = Path(f"{path}.new")
    # An edit that was killed may have left it. The lock is held, so nobody is writing to it.
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
    """Give a file the owner of its `model`, if this process is root, and the mode, if the groups are the same then.

    The model is the file's directory or predecessor: root makes a file for the user that the proxy runs as.
    """
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
    """Raise TokenFileError unless it is a regular file that nobody else can read, write or replace."""
    if not stat.S_ISREG(found.st_mode):
        raise TokenFileError(f"the token file {path} is not a regular file")
    if found.st_mode & _FORBIDDEN_MODE:
        mode = stat.S_IMODE(found.st_mode)
        raise TokenFileError(f"the token file {path} may be read or written by others (mode {mode:04o}): chmod it to 0600")
    directory = path.resolve().parent
    # The directory's owner could replace the file anyway. In a directory that everybody may add to (with the sticky bit), a
    # file of anybody else could have been put there by them.
    if found.st_uid not in {os.geteuid(), _ROOT, directory.stat().st_uid}:
        raise TokenFileError(f"the token file {path} belongs to another user (uid {found.st_uid}): chown it to the proxy's own")
    # If the path is a link, whoever can write to the link's directory can replace the link.
    for one in {directory, path.parent}:
        _check_directory(one)


def _check_directory(directory: Path) -> None:
    mode = directory.stat().st_mode
    if mode & _WRITABLE_BY_OTHERS and not mode & stat.S_ISVTX:
        raise TokenFileError(
            f"the directory {directory} may be written by others (mode {stat.S_IMODE(mode):04o}), "
            "who could exchange the token file: chmod it to 0700 or set access.tokens_file to a file elsewhere"
        )
