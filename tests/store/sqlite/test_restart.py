"""What was committed is there after a restart, and after a death without any goodbye."""

import asyncio
import signal
import sys
from pathlib import Path

from proxy.core.freshness.entry import Coding
from proxy.core.freshness.verdict import CLOCK_SKEW_S
from tests.store.support import NOW_S, ManualClock, edit, entry, fetch, noise, opened, same

# Writes for ever; says after each flush how far it is.
WRITER = """
import asyncio, sys
import structlog
from pathlib import Path
from proxy.clock import SystemClock
from proxy.core.freshness.entry import Entry, digest_of
from proxy.store import SqliteStore

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main():
    store = SqliteStore(Path(sys.argv[1]), max_bytes=1 << 26, clock=SystemClock())
    await store.open()
    number = 0
    while True:
        for _ in range(50):
            body = b"%d " % number * 3000
            store.put("ns", str(number), Entry(body=body, sent_at_s=float(number), digest=digest_of(body)))
            number += 1
            await asyncio.sleep(0)
        await store.flush()
        print(number, flush=True)

asyncio.run(main())
"""


async def test_closing_writes_what_waits(path: Path, clock: ManualClock) -> None:
    """What was put just before closing is there after the restart, its compressed form with it."""
    puts = {str(number): entry(noise(number * 1000, number)) for number in range(50)}
    async with opened(path, clock) as store:
        for key, put in puts.items():
            store.put("ns", key, put)
    async with opened(path, clock) as store:
        assert store.sizes.entries == 50
        for key, put in puts.items():
            found = await store.get("ns", key)
            assert found is not None
            assert same(found, put)
            assert found.encoded.keys() == {Coding.ZSTD}


async def test_killed_while_writing(path: Path) -> None:
    """After kill -9 in the midst of writing the file is sound and holds everything that was flushed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    flushed = 0
    async with asyncio.timeout(60):
        while flushed < 500:
            flushed = int(await process.stdout.readline())
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    flushed = max([flushed, *map(int, (await process.stdout.read()).split())])
    async with opened(path) as store:
        assert (store.health, store.counters.set_aside) == (None, 0)
        for number in range(flushed):
            found = await store.get("ns", str(number))
            assert found is not None
            assert found.body == b"%d " % number * 3000
        assert store.counters.corrupt == 0
    assert fetch(path, "PRAGMA integrity_check") == [("ok",)]


async def test_the_clock_was_set_back_meanwhile(path: Path, clock: ManualClock) -> None:
    """An entry from the future is deleted, so that what is put now can take its place."""
    async with opened(path, clock) as store:
        store.put("ns", "key", entry("future", NOW_S + 3600))
        store.put("ns", "soon", entry("soon", NOW_S + CLOCK_SKEW_S))
    async with opened(path, clock) as store:
        assert await store.get("ns", "soon") is not None
        assert await store.get("ns", "key") is None
        assert store.counters.corrupt == 1
        put = entry("now")
        store.put("ns", "key", put)
        await store.flush()
        assert same(await store.get("ns", "key"), put)


async def test_only_answers_are_persisted(path: Path) -> None:
    """The upstream's own errors are kept for seconds only: not in the file."""
    async with opened(path) as store:
        store.put("ns", "key", entry(status=404))
        await store.flush()
        assert await store.get("ns", "key") is None
        assert store.counters.dropped == 0


async def test_a_row_that_was_changed_is_deleted(path: Path) -> None:
    """A row that fails its checksum is a miss, counted, logged and deleted; its neighbours are untouched."""
    async with opened(path) as store:
        for key in "abcd":
            store.put("ns", key, entry(key))
    edit(
        path,
        "UPDATE entries SET digest = x'00' WHERE key = 'a'",
        "UPDATE bodies SET blob = x'00' WHERE id = (SELECT id FROM entries WHERE key = 'b')",
        "DELETE FROM bodies WHERE id = (SELECT id FROM entries WHERE key = 'c')",
    )
    async with opened(path) as store:
        assert [await store.get("ns", key) is None for key in "abcd"] == [True, True, True, False]
        await store.flush()
        assert (store.counters.corrupt, store.counters.reads, store.counters.hits) == (3, 4, 1)
        assert (store.sizes.entries, store.health) == (1, None)


async def test_entries_exchanged_are_noticed(path: Path) -> None:
    """Two rows with each other's keys are both misses: no answer is ever given to another question."""
    async with opened(path) as store:
        store.put("ns", "a", entry("a"))
        store.put("ns", "b", entry("b"))
        store.put("other", "c", entry("c"))
    edit(
        path,
        "UPDATE entries SET key = 'x' WHERE key = 'a'",
        "UPDATE entries SET key = 'a' WHERE key = 'b'",
        "UPDATE entries SET key = 'b' WHERE key = 'x'",
        "UPDATE entries SET namespace_id = (SELECT id FROM namespaces WHERE name = 'ns') WHERE key = 'c'",
    )
    async with opened(path) as store:
        assert [await store.get("ns", key) for key in "abc"] == [None, None, None]
