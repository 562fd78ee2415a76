"""What `doctor` finds on this machine: each fault with what to do, and nothing where all is well."""

import errno
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from proxy.cli import checkup
from proxy.cli.checkup import Finding, State
from proxy.config import load
from proxy.config.load import LoadedConfig
from proxy.store.sqlite.schema import TABLES
from tests.support.tokens import token, write
from tests.support.world import KEY


def loaded(**variables: str) -> LoadedConfig:
    return load(None, {"PLUTO_PROXY_UPSTREAM": "http://127.0.0.1:1", **variables})


def found(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Return findings by what was looked at, once it is clear that whatever is wrong says what to do."""
    all_found = [*findings]
    for one in all_found:
        assert bool(one.todo) == (one.state in {State.ADVICE, State.FAULT}), one
    return {one.check: one for one in all_found}


def store(path: Path, **variables: str) -> dict[str, Finding]:
    return found(checkup.check_store(loaded(PLUTO_PROXY_CACHE=str(path), **variables).config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "cache"
    made.mkdir(mode=0o700)
    return made


def cache_file(folder: Path) -> Path:
    """Make a cache file without entries."""
    path = folder / "c.sqlite"
    with sqlite3.connect(path) as connection:
        for statement in TABLES:
            connection.execute(statement)
    path.chmod(0o600)
    return path


def test_a_good_cache_file(folder: Path) -> None:
    """It, its mode, its folder and the space are all well; a file that isn't there will be made."""
    told = store(cache_file(folder))
    assert {one.state for one in told.values()} == {State.OK}
    assert set(told) == {"store", "store mode", "store folder", "space"}
    assert "will be made" in store(folder / "other.sqlite")["store"].text
    # A folder that isn't there yet has no mode.
    assert set(store(folder / "deep" / "er" / "c.sqlite")) == {"store", "space"}


def test_modes_that_let_others_in(folder: Path) -> None:
    """Who may read is advice; a folder that others may write in is a fault, since serving refuses it."""
    path = cache_file(folder)
    path.chmod(0o644)
    folder.chmod(0o755)
    told = store(path)
    assert (told["store mode"].state, told["store mode"].todo) == (State.ADVICE, f"chmod 600 {path}")
    assert (told["store folder"].state, told["store folder"].todo) == (State.ADVICE, f"chmod 700 {folder}")
    folder.chmod(0o777)
    told = store(path)
    assert (told["store folder"].state, told["store folder"].todo) == (State.FAULT, f"chmod 700 {folder}")
    folder.chmod(0o1777)  # as /tmp is
    assert store(path)["store folder"].state is State.ADVICE


def test_what_is_no_cache_file(folder: Path) -> None:
    """Serving would set it aside, so that it is no fault."""
    path = folder / "c.sqlite"
    path.write_text("a letter " * 20)
    told = store(path)["store"]
    assert told.state is State.ADVICE
    assert "it is not an SQLite database" in told.text


def test_a_file_of_a_newer_version(folder: Path) -> None:
    """Serving refuses it, so that it is a fault, and it is left whole."""
    path = cache_file(folder)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    told = store(path)["store"]
    assert told.state is State.FAULT
    assert "newer version" in told.text


def test_a_file_that_this_user_may_not_write(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to another one, most likely."""
    path = cache_file(folder)
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    told = store(path)["store"]
    assert (told.state, told.todo) == (State.FAULT, f"chown it to uid {os.getuid()}")


def test_a_file_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the reason is, it is told."""
    path = cache_file(folder)

    def refuse(_path: Path) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(checkup, "reason_against", refuse)
    told = store(path)["store"]
    assert (told.state, told.text) == (State.FAULT, f"{path} cannot be read: Permission denied")


def test_a_folder_that_cannot_be_written() -> None:
    """Nothing else is looked at then."""
    told = store(Path("/proc") / "none" / "c.sqlite")
    assert [*told] == ["store"]
    assert told["store"].state is State.FAULT


def test_too_little_space(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cache file has already needs none."""
    path = cache_file(folder)
    wanted = 64 * 2**20 - path.stat().st_size
    for free, state in ((wanted, State.OK), (wanted - 1, State.ADVICE)):
        usage = shutil._ntuple_diskusage(total=2**40, used=0, free=free)  # noqa: SLF001 -- disk_usage has no public type
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder, usage=usage: usage)
        assert store(path, PLUTO_PROXY_CACHE__MAX_BYTES="64MiB")["space"].state is state


def test_the_key(tmp_path: Path) -> None:
    """Where it comes from and its fingerprint are told, itself never."""
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o640)  # a group may, as with Docker's secrets
    told = found(checkup.check_key(loaded(PLUTO_API_KEY_FILE=str(path))))
    assert {one.state for one in told.values()} == {State.OK}
    assert str(path) in told["key"].text
    assert KEY not in "".join(map(str, told.values()))
    path.chmod(0o644)
    told = found(checkup.check_key(loaded(PLUTO_API_KEY_FILE=str(path))))
    assert (told["key file"].state, told["key file"].todo) == (State.ADVICE, f"chmod o= {path}")
    assert found(checkup.check_key(loaded(PLUTO_API_KEY=KEY)))["key"].state is State.OK
    path.write_text("two words")
    told = found(checkup.check_key(loaded(PLUTO_API_KEY_FILE=str(path))))
    assert told["key"].state is State.FAULT
    assert "two words" not in str(told["key"])


def test_no_key() -> None:
    """A fault, except where the upstream is never asked."""
    assert found(checkup.check_key(loaded()))["key"].state is State.FAULT
    assert found(checkup.check_key(loaded(PLUTO_PROXY_UPSTREAM__OFFLINE="true")))["key"].state is State.OK


def test_http_proxies() -> None:
    """Those of the environment are not used, which is told; one that is set is named without its password."""
    assert found(checkup.check_variables(loaded()))["http proxy"].text == "none"
    told = found(checkup.check_variables(loaded(HTTPS_PROXY="http://u:secret@proxy:1")))["http proxy"]
    assert told.state is State.ADVICE
    assert "HTTPS_PROXY" in told.text
    told = found(checkup.check_variables(loaded(PLUTO_PROXY_UPSTREAM__PROXY="http://u:secret@proxy:1")))["http proxy"]
    assert told.state is State.OK
    assert "proxy:1" in told.text
    assert "secret" not in told.text


def test_tokens(tmp_path: Path) -> None:
    """Those that are good are counted. Without one nobody may ask, which is no fault: the next one makes it good."""
    path = tmp_path / "t" / "tokens.json"
    variables = {"PLUTO_PROXY_ACCESS__TOKENS_FILE": str(path)}
    assert found(checkup.check_access(loaded(**variables).config))["access"].state is State.FAULT
    write(path, token("over", expires_at_s=5))
    assert found(checkup.check_access(loaded(**variables).config))["access"].state is State.ADVICE
    write(path, token("over", expires_at_s=5), token("good"), token("soon", expires_at_s=int(time.time()) + 1_000))
    told = found(checkup.check_access(loaded(**variables).config))["access"]
    assert (told.state, told.text) == (State.OK, f"2 of 3 tokens are good ({path})")


@pytest.mark.parametrize(
    ("variables", "state", "text"),
    [
        ({}, State.OK, "whoever is on this machine may ask"),
        ({"PLUTO_PROXY_ACCESS__NETWORKS": "10.0.0.0/8,::1"}, State.OK, "clients of 2 networks may ask"),
        ({"PLUTO_PROXY_ACCESS__OPEN": "true"}, State.ADVICE, "whoever can connect may ask (access.open)"),
    ],
)
def test_who_may_ask(variables: dict[str, str], state: State, text: str) -> None:
    """Where there are no tokens."""
    told = found(checkup.check_access(loaded(**variables).config))["access"]
    assert (told.state, told.text) == (state, text)


def test_files_that_may_be_open() -> None:
    """More connections than files would be fewer."""
    few = loaded(PLUTO_PROXY_SERVER__MAX_CONNECTIONS="8").config
    assert found(checkup.check_descriptors(few))["files"].state is State.OK


def test_too_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hard limit can't be raised by the process itself."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 1_024))
    told = found(checkup.check_descriptors(loaded().config))["files"]
    assert told.state is State.ADVICE
    assert "1024 files may be open" in told.text
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, resource.RLIM_INFINITY))
    assert found(checkup.check_descriptors(loaded().config))["files"].state is State.OK
