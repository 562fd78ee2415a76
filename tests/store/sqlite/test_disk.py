"""Faults that only a process with fewer rights or less room than the tests' own can meet: it is told what to do by lines."""

import asyncio
import concurrent.futures.thread  # noqa: F401 - while it can be read: others' rights may not reach as far as Python's files
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from proxy.store import SqliteStore
from tests.store.support import ManualClock, entry, noise, opened, same

NOBODY = 65_534


async def child(path: Path) -> None:
    """Do what the lines on standard input say, and answer each with the store's health and what was found."""
    clock = ManualClock()
    store = SqliteStore(path, max_bytes=1 << 26, clock=clock, read_timeout_s=30)
    await store.open()
    put = entry(noise(50_000))
    for number, line in enumerate(sys.stdin):
        if line == "put\n":
            store.put("ns", str(number), put)
        clock.advance(30)
        await store.flush()
        found = sum([same(await store.get("ns", str(key)), put) for key in range(number + 1)])
        sys.stdout.write(f"{store.health}\t{found}\n")
        sys.stdout.flush()
    await store.aclose()


def limit_files(limit_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, resource.RLIM_INFINITY))


def become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)


CHILD = """
import asyncio, sys
from pathlib import Path
import structlog
from tests.store.sqlite import test_disk
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
eval(sys.argv[2], vars(test_disk))
asyncio.run(test_disk.child(Path(sys.argv[1])))
"""


class Child:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, line: str) -> tuple[str, int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        async with asyncio.timeout(30):
            answer = (await self._process.stdout.readline()).decode()
        if not answer:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        health, found = answer.strip().split("\t")
        return health, int(found)


@asynccontextmanager
async def running(path: Path, first: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        str(path),
        first,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    try:
        yield Child(process)
    finally:
        process.stdin.close()
        await process.communicate()
    assert process.returncode == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that other users can get to, unlike those of pytest."""
    made = Path(tempfile.mkdtemp(prefix="pluto-proxy-"))
    made.chmod(0o755)
    yield made
    for directory in (made, *made.rglob("*")):
        directory.chmod(0o700)
    shutil.rmtree(made)


async def test_writing_fails(path: Path) -> None:
    """When the file cannot grow because the system says so, the service goes on; what was written is there afterwards."""
    async with running(path, "limit_files(400_000)") as process:
        answers = [await process.ask("put") for _ in range(20)]
    assert answers[0] == ("None", 1)
    assert any("cannot be used (SQLITE_IOERR" in health for health, _ in answers)
    assert not any("damaged" in health for health, _ in answers)
    async with opened(path) as store:
        assert (store.health, store.counters.set_aside) == (None, 0)
        assert same(await store.get("ns", "0"), entry(noise(50_000)))


async def test_a_directory_that_cannot_be_written(folder: Path) -> None:
    """A read-only directory does not keep the service from starting, and the file is used as soon as that is possible."""
    directory = folder / "cache"
    directory.mkdir(mode=0o555)
    path = directory / "answers.sqlite"
    async with running(path, "become_nobody()") as process:
        for _ in range(3):
            health, found = await process.ask("put")
            assert health.startswith(f"the cache file {path} or its directory is read-only (E")
            assert found == 0
        give_to_nobody(directory)
        directory.chmod(0o755)
        assert await process.ask("wait") == ("None", 0)
        assert await process.ask("put") == ("None", 1)


@pytest.mark.parametrize("whose", ["its own", "another's"])
async def test_a_file_that_cannot_be_written(folder: Path, whose: str) -> None:
    """A file that is read-only, one's own or somebody else's, is neither changed nor set aside; and used when it can be."""
    directory = folder / "cache"
    path = directory / "answers.sqlite"
    async with opened(path) as store:
        store.put("ns", "0", entry(noise(50_000)))
    before = path.read_bytes()
    if whose == "its own":
        give_to_nobody(directory)
    for thing in directory.iterdir():
        thing.chmod(0o444)
    directory.chmod(0o555)
    async with running(path, "become_nobody()") as process:
        health, found = await process.ask("put")
        assert "is read-only" in health
        assert found == 0
        assert path.read_bytes() == before
        give_to_nobody(directory)
        directory.chmod(0o700)
        for thing in directory.iterdir():
            thing.chmod(0o600)
        assert await process.ask("wait") == ("None", 1)
        assert await process.ask("put") == ("None", 2)


def give_to_nobody(directory: Path) -> None:
    """If these tests run as root the other process does not, and the files are to be its own."""
    if os.geteuid() == 0:
        for thing in (directory, *directory.iterdir()):
            os.chown(thing, NOBODY, NOBODY)
