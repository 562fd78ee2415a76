"""The cache file broken under a running server that has no memory to fall back on.

Whatever is done to the file: every request is answered with the right body, the fault can be seen from outside, and once it is
gone the file is used again, without a restart.
"""

import asyncio
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.standin import Row, Standin
from proxy.store import SqliteStore
from proxy.store.sqlite.connections import run
from proxy.store.sqlite.files import log_of
from proxy.store.sqlite.quota import SizeLimits
from tests.store.support import aside, entry, locked, noise, opened, read_elsewhere, reader, scribble, writer
from tests.support.processes import PATIENCE_S, proxy_process
from tests.support.world import KEY, METRICS, World, world

QUESTIONS = [f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=400&stepMin={number}" for number in range(16)]
LARGE = entry(noise(200_000))
# Longer than any attempt to use the file again is put off.
LONGEST_S = 30


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server, its cache file, and what the upstream itself answers."""

    running: World
    path: Path
    expected: dict[str, bytes] = field(default_factory=dict)

    async def right(self, question: str) -> bytes:
        """Return what the upstream says, asked without the proxy."""
        if question not in self.expected:
            headers = {"Authorization": f"Bearer {KEY}"}
            self.expected[question] = (await self.running.get(question, base=self.running.upstream, **headers)).body
        return self.expected[question]

    async def ask(self, question: str, **headers: str) -> bool:
        """Ask one question, which must be answered right; return whether it was a hit."""
        reply = await self.running.get(question, **headers)
        assert reply.status == 200
        assert reply.body == await self.right(question)
        return reply.is_hit

    async def ask_all(self, questions: list[str] = QUESTIONS) -> int:
        """Ask them all at once; return how many were hits."""
        return sum(await asyncio.gather(*map(self.ask, questions)))

    async def fill(self) -> None:
        """Have everything in the file itself: nothing in its log, and nothing in the connections' own memory."""
        await self.ask_all()
        await self.running.flushed()
        await run(writer(self.disk), "PRAGMA wal_checkpoint(TRUNCATE)")
        await self.forget_pages()

    async def forget_pages(self) -> None:
        """Empty the connections' own memory, so that whatever is asked next is read from the files."""
        for connection in (writer(self.disk), reader(self.disk)):
            await run(connection, "PRAGMA shrink_memory")

    async def mended(self, questions: list[str] = QUESTIONS) -> None:
        """By itself, and as time passes, the file is used again: everything is a hit, and nothing is said to be wrong."""
        for _ in range(10):
            await self.ask_all(questions)
            await self.running.flushed()
            if await self.ask_all(questions) == len(questions) and await self.trouble() is None:
                assert await self.metric("store_healthy") == 1
                return
            self.running.clock.advance(LONGEST_S)
        raise AssertionError(f"not mended: {await self.trouble()}")

    async def trouble(self) -> str | None:
        """What `/readyz?verbose` says about the file; the proxy is ready whatever it is."""
        document = (await self.running.get("/readyz?verbose")).json
        assert document["ready"] is True
        said = str(document["store"]["disk"])
        assert bool(document["troubles"]) == (said != "ok")
        return None if said == "ok" else said

    async def metric(self, name: str) -> float:
        text = (await self.running.get("/metrics")).body.decode()
        [value] = [line.split(" ")[1] for line in text.splitlines() if line.startswith(f"pluto_proxy_{name} ")]
        return float(value)

    async def seen(self) -> float:
        """How much `/metrics` has to say about faults of the file."""
        return sum([await self.metric(f"store_{name}_total") for name in ("errors", "corrupt", "set_aside")])

    @property
    def disk(self) -> SqliteStore:
        return self.running.parts.store.disk


def filled() -> Standin:
    """A stand-in with values that don't compress well."""
    standin = Standin()
    standin.rows.insert(Row(run_id=1, log_name="loss", step=step, value=step * 7919 % 1009 / 1013) for step in range(200))
    return standin


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    standin = filled()
    path = folder / "cache" / "cache.sqlite"
    async with world(
        folder, standin=standin, cache__memory_bytes=0, freshness__running_s=86_400, cache__path=path, **settings
    ) as running:
        await running.parts.tenancy.settled()
        here = Served(running=running, path=path)
        await here.fill()
        yield here


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwritten(path: Path) -> None:
    scribble(path)


def overwritten_but_for_its_head(path: Path) -> None:
    scribble(path, begin=4_096)


def overwritten_in_the_middle(path: Path) -> None:
    scribble(path, begin=path.stat().st_size // 2 // 4_096 * 4_096)


def replaced_by_garbage(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"\xa5" * 50_000)
    other.replace(path)


def replaced_by_nothing(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    other.replace(path)


def without_its_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()


def without_its_directory(path: Path) -> None:
    shutil.rmtree(path.parent)


def moved_away(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


DAMAGES = [
    deleted,
    emptied,
    cut_in_half,
    overwritten,
    overwritten_but_for_its_head,
    overwritten_in_the_middle,
    replaced_by_garbage,
    replaced_by_nothing,
    without_its_log,
    without_its_directory,
    moved_away,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damaged_while_serving(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Done once, to a file in use: right answers all along, the upstream asked for what is lost, a whole file afterwards."""
    async with served(tmp_path) as here:
        before = await here.seen()
        damage(here.path)
        here.running.clock.advance(1)
        assert await here.ask_all() <= len(QUESTIONS)
        await here.running.flushed()
        await here.mended()
        assert await here.seen() > before
        assert here.path.exists()
        assert len(aside(here.path)) == here.running.parts.store.disk.counters.set_aside


async def test_a_log_cut_short(tmp_path: Path) -> None:
    """What was written last lies in the write-ahead log alone: lost from there, it is asked for again."""
    new = [f"{question}&stepMax=180" for question in QUESTIONS]
    async with served(tmp_path) as here:
        before = await here.seen()
        await here.ask_all(new)
        await here.running.flushed()
        log = Path(f"{here.path}-wal")
        os.truncate(log, log.stat().st_size // 2)
        await here.forget_pages()
        await here.ask_all([*QUESTIONS, *new])
        await here.running.flushed()
        assert await here.seen() > before
        await here.mended()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_reading_alone_notices(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Where no answer may be written to disk, what is wrong comes to light all the same."""
    async with served(tmp_path) as here:
        before = await here.seen()
        damage(here.path)
        here.running.clock.advance(1)
        for question in QUESTIONS:
            await here.ask(question, Cache_Control="no-store")
        await here.running.flushed()
        assert await here.seen() > before
        await here.mended()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
async def test_damaged_under_load(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """The same in the middle of requests that read and write, and a second time as soon as it is mended."""
    async with served(tmp_path) as here:
        for _ in range(2):
            load = asyncio.create_task(keep_asking(here))
            await here.running.arrived(here.running.parts.web.intake.requests + 50)
            damage(here.path)
            if damage is moved_away:
                shutil.rmtree(here.path.parent.with_name("elsewhere"))
            here.running.clock.advance(1)
            await here.running.arrived(here.running.parts.web.intake.requests + 100)
            assert not load.done()
            load.cancel()
            with suppress(asyncio.CancelledError):
                await load
            await here.mended()


async def keep_asking(here: Served) -> None:
    """Ask what is stored and what is new, in turns."""
    number = 1_000
    while True:
        number += 1
        new = f"{QUESTIONS[0]}&stepMax={number}"
        await asyncio.gather(*map(here.ask, [*QUESTIONS[number % 5 :: 5], new]))


@asynccontextmanager
async def locked_by_another(here: Served) -> AsyncIterator[None]:
    async with locked(here.path):
        yield


@asynccontextmanager
async def read_only(here: Served) -> AsyncIterator[None]:
    """The modes say so, and so does SQLite: for root, and for who has the file open, the modes alone don't count."""
    modes = [(path, path.stat().st_mode) for path in (here.path, here.path.parent)]
    await run(writer(here.disk), "PRAGMA query_only = ON")
    for path, mode in modes:
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes:
            path.chmod(mode)
        await run(writer(here.disk), "PRAGMA query_only = OFF")


@asynccontextmanager
async def no_room(here: Served) -> AsyncIterator[None]:
    """SQLite finds no page more; it forgets that when the next attempt sets the limit anew."""
    await run(writer(here.disk), "PRAGMA max_page_count = 1")
    yield


@asynccontextmanager
async def a_directory_in_its_place(here: Served) -> AsyncIterator[None]:
    here.path.unlink()
    here.path.mkdir()
    here.running.clock.advance(1)
    try:
        yield
    finally:
        here.path.rmdir()


@asynccontextmanager
async def read_by_another(here: Served) -> AsyncIterator[None]:
    """Its log can take no more: the part of the quota that is the log's is used up by then."""
    async with read_elsewhere(here.path):
        while here.running.parts.store.disk.health is None:
            here.running.parts.store.disk.put("other", f"/{here.running.parts.store.disk.counters.writes}", LARGE)
            await here.running.flushed()
        yield


@asynccontextmanager
async def taken_by_another(here: Served) -> AsyncIterator[None]:
    """Its lock was deleted, and a second proxy came."""
    Path(f"{here.path}.lock").unlink()
    async with opened(here.path):
        here.running.clock.advance(1)
        yield


STANDING = [
    (read_by_another, "another program goes on reading the cache file"),
    (taken_by_another, "is in use by another pluto-proxy"),
    (locked_by_another, "is locked by another program"),
    (read_only, "is read-only"),
    (no_room, "there is no room for the cache file"),
    (a_directory_in_its_place, "is not a regular file"),
]


@pytest.mark.parametrize(("fault", "said"), STANDING, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_fault_that_stays(
    tmp_path: Path, fault: Callable[[Served], AbstractAsyncContextManager[None]], said: str
) -> None:
    """While it lasts: right answers, what is new from the upstream each time, and it is told; afterwards all is as before."""
    new = [f"{question}&stepMax={step}" for step in (180, 190) for question in QUESTIONS]
    async with served(tmp_path, cache__max_bytes=2**24) as here:
        async with fault(here):
            for attempt in range(3):
                await here.ask_all(new)
                await here.running.flushed()
                trouble = await here.trouble()
                if attempt == 0 or fault is not no_room:
                    assert said in (trouble or "")
                    assert await here.metric("store_healthy") == 0
                await here.ask_all()
                here.running.clock.advance(0.25)
            assert await here.seen() > 0
        await here.mended()
        await here.mended(new)
        assert not aside(here.path)


async def test_what_is_told_of_the_log(tmp_path: Path) -> None:
    """Its size can be seen everywhere, and what it comes to is told to everybody, without the name of a file."""
    async with served(tmp_path, cache__max_bytes=2**22) as here:
        async with read_by_another(here):
            size = log_of(here.path).stat().st_size
            assert size > SizeLimits.of(2**22).full_log_bytes
            assert (await here.running.get("/readyz?verbose")).json["store"]["disk_log_bytes"] == size
            assert await here.metric("store_log_bytes") == size
            told = (await here.running.get("/readyz")).body.decode()
            assert told == "ok\nanother program goes on reading the cache file: nothing new is written to it\n"
        await here.mended()
        assert (await here.running.get("/readyz")).body == b"ok\n"
        async with read_only(here):
            await here.ask(f"{QUESTIONS[0]}&stepMax=170")
            await here.running.flushed()
            told = (await here.running.get("/readyz")).body.decode()
            assert told == "ok\nthe cache file cannot be written: new answers are kept in memory alone\n"
        async with a_directory_in_its_place(here):
            await here.running.flushed()
            told = (await here.running.get("/readyz")).body.decode()
            assert told == "ok\nthe cache file cannot be used; answers are kept in memory alone\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only there can one process limit another")
async def test_a_process_whose_files_may_not_grow(tmp_path: Path) -> None:
    """The operating system itself refuses to write: the same, by the real clock."""
    standin = filled()
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY": KEY,
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_UPSTREAM__RATE_PER_S": "10000",
            "PLUTO_PROXY_UPSTREAM__BURST": "10000",
            "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "cache.sqlite"),
            "PLUTO_PROXY_CACHE__MEMORY_BYTES": "0",
            "PLUTO_PROXY_SERIES__MEMORY_BYTES": "0",
            "PLUTO_PROXY_FRESHNESS__RUNNING_S": "3600",
        }
        async with proxy_process(**variables) as process:

            async def ask_all(questions: list[str]) -> int:
                hits = 0
                for question in questions:
                    async with session.get(process.url + question) as response:
                        assert response.status == 200
                        body = await response.read()
                        hits += response.headers["Cache-Status"].startswith("pluto-proxy; hit")
                    async with session.get(upstream + question, headers={"Authorization": f"Bearer {KEY}"}) as response:
                        assert await response.read() == body
                return hits

            async def disk() -> str:
                async with session.get(f"{process.url}/readyz?verbose") as response:
                    return str((await response.json())["store"]["disk"])

            async def until(questions: list[str], *, well: bool) -> None:
                async with asyncio.timeout(PATIENCE_S):
                    while (await ask_all(questions) == len(questions)) != well or (await disk() == "ok") != well:  # noqa: ASYNC110 -- no event tells it
                        await asyncio.sleep(0.05)

            await until(QUESTIONS, well=True)
            limit_file_size(process.process.pid, 4_096)
            await until([f"{question}&stepMax=180" for question in QUESTIONS], well=False)
            assert "the cache file" in await disk()
            limit_file_size(process.process.pid, None)
            await until([*QUESTIONS, *(f"{question}&stepMax=180" for question in QUESTIONS)], well=True)
            assert await process.terminate() == 0
        assert "set_aside" not in process.log


def limit_file_size(pid: int, size_bytes: int | None) -> None:
    """Let a process write no file beyond this size; None lifts the limit."""
    if sys.platform == "linux":
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size_bytes is None else size_bytes, hard))
