"""The file with the tokens: private, replaced whole, edited by one at a time."""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.core.access.grants import digest_of_token, read_bearer
from proxy.errors import TokenFileError
from proxy.store.token_file import Token, TokenList, edit_tokens, new_secret, read_tokens


def token(name: str, **more: Any) -> Token:
    fields = {"projects": None, "admin": False, "created_at_s": 1, "expires_at_s": None, **more}
    return Token(name=name, sha256=digest_of_token(name), **fields)


def adding(*tokens: Token) -> Callable[[TokenList], list[Token]]:
    return lambda before: [*before, *tokens]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "tokens.json"


def test_secrets() -> None:
    """Each is 256 bits, another one every time, and can be sent as a Bearer."""
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert {len(secret) for secret in made} == {len("ppt_") + 43}
    assert all(read_bearer([f"Bearer {secret}"]) == secret for secret in made)


def test_what_is_written_is_read(path: Path) -> None:
    """In a file and a directory of the owner's alone; nothing is left beside it but the lock."""
    tokens = (token("a"), token("b", projects=["x", '\u00e9 "'], expires_at_s=2), token("c", admin=True))
    edit_tokens(path, adding(*tokens), create=True)
    assert read_tokens(path) == tokens
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]
    edit_tokens(path, lambda _: [])
    assert read_tokens(path) == ()


def test_there_must_be_one(path: Path) -> None:
    """Only adding makes a file."""
    for use in (lambda: edit_tokens(path, adding()), lambda: read_tokens(path)):
        with pytest.raises(TokenFileError, match="No such file"):
            use()


def test_editing_at_once(path: Path) -> None:
    """Whoever edits waits for the others: nothing is lost."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: edit_tokens(path, adding(token(f"t{number}")), create=True), range(40)))
    assert {one.name for one in read_tokens(path)} == {f"t{number}" for number in range(40)}


def test_a_change_that_fails(path: Path) -> None:
    """The file stays as it was, and the right to edit it is given back."""
    edit_tokens(path, adding(token("a")), create=True)
    before = path.read_bytes(), path.stat().st_ino

    def fail(_: TokenList) -> list[Token]:
        raise TokenFileError("no")

    with pytest.raises(TokenFileError, match="no"):
        edit_tokens(path, fail)
    assert (path.read_bytes(), path.stat().st_ino) == before
    edit_tokens(path, adding(token("b")))
    assert len(read_tokens(path)) == 2


def test_a_disk_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What wasn't written to the end never takes the file's place, and is removed; so is what one left who was killed."""
    edit_tokens(path, adding(token("a")), create=True)
    Path(f"{path}.new").write_text("half a f")
    edit_tokens(path, adding(token("b")))
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TokenFileError, match="cannot be written: No space left"):
        edit_tokens(path, adding(token("c")))
    assert path.read_bytes() == before
    assert not Path(f"{path}.new").exists()


def test_a_broken_file_is_not_written_over(path: Path) -> None:
    """Adding to what cannot be read would lose what is in it."""
    edit_tokens(path, adding(token("a")), create=True)
    path.write_text("{")
    with pytest.raises(TokenFileError, match="is not what"):
        edit_tokens(path, adding(token("b")), create=True)
    assert path.read_text() == "{"


def test_who_may_read_stays(path: Path) -> None:
    """A group that was let read goes on being able to; nobody else ever is."""
    edit_tokens(path, adding(token("a")), create=True)
    path.chmod(0o640)
    edit_tokens(path, adding(token("b")))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(read_tokens(path)) == 2


def test_behind_a_link(path: Path, tmp_path: Path) -> None:
    """The file that a link leads to is replaced, not the link."""
    edit_tokens(path, adding(token("a")), create=True)
    link = tmp_path / "link.json"
    link.symlink_to(path)
    edit_tokens(link, adding(token("b")))
    assert link.is_symlink()
    assert len(read_tokens(path)) == len(read_tokens(link)) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_root_gives_it_to_whom_the_directory_belongs(path: Path) -> None:
    """So that the proxy's own user can read what root has made."""
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, 12345, 12345)
    edit_tokens(path, adding(token("a")), create=True)
    edit_tokens(path, adding(token("b")))
    for file in (path, Path(f"{path}.lock")):
        found = file.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 12345, 0o600)


def test_a_directory_of_everybody(path: Path) -> None:
    """Whoever could exchange the file could let anybody in: none is made or read there."""
    edit_tokens(path, adding(token("a")), create=True)
    path.parent.chmod(0o770)
    for use in (lambda: edit_tokens(path, adding(token("b")), create=True), lambda: read_tokens(path)):
        with pytest.raises(TokenFileError, match="may be written by others"):
            use()
    path.parent.chmod(0o1777)
    assert len(read_tokens(path)) == 1


def test_a_link_that_everybody_can_exchange(path: Path, tmp_path: Path) -> None:
    """However well the file is guarded to which it leads now."""
    edit_tokens(path, adding(token("a")), create=True)
    link = tmp_path / "open" / "link.json"
    link.parent.mkdir()
    link.symlink_to(path)
    assert len(read_tokens(link)) == 1
    link.parent.chmod(0o777)
    with pytest.raises(TokenFileError, match="open may be written by others"):
        read_tokens(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("mode", [0o700, 0o1777])
def test_a_file_of_somebody_else(path: Path, mode: int) -> None:
    """It is good where it belongs to the proxy, to root, or to whom the directory belongs to, and to nobody else."""
    edit_tokens(path, adding(token("a")), create=True)
    path.parent.chmod(mode)
    os.chown(path, 12345, 12345)
    with pytest.raises(TokenFileError, match="belongs to another user"):
        read_tokens(path)
    os.chown(path.parent, 12345, 12345)
    assert len(read_tokens(path)) == 1
    os.chown(path, 0, 0)
    assert len(read_tokens(path)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "a b"},
        {"name": ""},
        {"name": "a\n"},
        {"sha256": "00"},
        {"sha256": "G" * 64},
        {"projects": []},
        {"projects": [1]},
        {"projects": "x"},
        {"admin": 1},
        {"expires_at_s": -1},
        {"expires_at_s": 1.5},
        {"expires_at_s": "tomorrow"},
        {"expires_at_s": 10**12},
        {"more": 1},
    ],
)
def test_what_no_command_writes(path: Path, changed: dict[str, object]) -> None:
    """Nothing is guessed: a file with anything else in it isn't read at all."""
    edit_tokens(path, adding(token("a")), create=True)
    document = msgspec.json.decode(path.read_bytes())
    document["tokens"][0] |= changed
    path.write_bytes(msgspec.json.encode(document))
    with pytest.raises(TokenFileError, match="is not what"):
        read_tokens(path)
