"""Which keys the file may hold, so that a miss need not wait for the disk."""

import asyncio
import sqlite3
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import pairwise

import aiosqlite
from xxhash import xxh3_128_intdigest

from proxy.store.contract import EntryKey
from proxy.store.sqlite import schema
from proxy.store.sqlite.connections import run

# The keys are read in pages, and other reads wait for a page. So a page grows while it takes less than _SHORT_S, and shrinks
# when it takes more than _LONG_S, as on a disk that seeks for each key.
LEAST_ROWS, MOST_ROWS = 16, 256
_SHORT_S, _LONG_S = 0.002, 0.01
# After a page there is a pause of the same length, within these bounds, so that other reads have their turn.
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.002, 1.0
# Each key sets so many bits, of so many bits for each key that is expected: 0.2 % of the keys that were never added are found.
_BITS_SET_BY_KEY = 4
_BITS_FOR_EACH_KEY = 16
_WORD_BITS = 32
_FIRST_ID = -(2**63)


class BloomFilter:
    """A Bloom filter: finds every key that was added, and a few that were not, more of them the fuller it is."""

    def __init__(self, max_keys: int) -> None:
        bits = 1 << max(10, (max_keys * _BITS_FOR_EACH_KEY - 1).bit_length())
        self._mask = bits - 1
        self._bits = bytearray(bits // 8)
        self.added = 0
        """How many keys were added, counting repetitions."""

    def add(self, entry_keys: Iterable[EntryKey]) -> None:
        """Add keys."""
        bits, mask = self._bits, self._mask
        for entry_key in entry_keys:
            number = _number(*entry_key)
            for _ in range(_BITS_SET_BY_KEY):
                bit = number & mask
                bits[bit >> 3] |= 1 << (bit & 7)
                number >>= _WORD_BITS
            self.added += 1

    def __contains__(self, entry_key: EntryKey) -> bool:
        """Return False only for a key that was never added."""
        number = _number(*entry_key)
        for _ in range(_BITS_SET_BY_KEY):
            bit = number & self._mask
            if not self._bits[bit >> 3] & 1 << (bit & 7):
                return False
            number >>= _WORD_BITS
        return True


class Presence:
    """Tells which keys the open file does not hold, for nearly all of them, once all keys of the file were read.

    Keys that are about to be written are added first. Keys of entries that are evicted cannot be removed from a Bloom filter:
    they are looked up in vain, until all keys are read anew after `max_keys` more were added. `max_keys`: roughly how many keys
    the file will hold.
    """

    def __init__(self, reader: aiosqlite.Connection, *, max_keys: int) -> None:
        self._reader = reader
        self._max_keys = max_keys
        self._filter = BloomFilter(max_keys)
        # How many keys the filter had when the last one of the file was added; None before that.
        self._complete_at: int | None = None
        self._learning: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_complete(self) -> bool:
        """Whether all keys of the file are in the filter."""
        return self._complete_at is not None

    def may_hold(self, entry_key: EntryKey) -> bool:
        """Return False only if the file holds nothing under the key."""
        return self._complete_at is None or entry_key in self._filter

    def add(self, entry_keys: Collection[EntryKey]) -> None:
        """Add keys that are about to be written."""
        self._filter.add(entry_keys)
        if self._complete_at is not None and self._filter.added - self._complete_at > self._max_keys:
            self.learn()
            self._filter.add(entry_keys)

    def forget(self) -> None:
        """Exclude no key any more, since entries are about to move to other keys."""
        self._complete_at = None
        if self._learning is not None:
            self._learning.cancel()

    def learn(self) -> None:
        """Begin to read all keys of the file, anew."""
        self.forget()
        if self._closed:
            return
        self._filter = BloomFilter(self._max_keys)
        self._learning = asyncio.get_running_loop().create_task(self._learn(self._filter), name="store-presence")

    async def close(self) -> None:
        """Stop reading keys, for good."""
        self._closed = True
        self.forget()
        if self._learning is not None:
            await asyncio.wait({self._learning})

    async def _learn(self, known: BloomFilter) -> None:
        # If something is wrong with the file, the reads of entries will report it.
        with suppress(sqlite3.Error, ValueError):
            names = {number: _text(name) for number, name in await run(self._reader, schema.SELECT_NAMESPACES)}
            last, page_rows, more = (_FIRST_ID, ""), LEAST_ROWS, True
            now_s = asyncio.get_running_loop().time
            while more:
                began_s = now_s()
                rows = await run(self._reader, schema.SELECT_KEYS, (*last, page_rows))
                took_s = now_s() - began_s
                found = [(number, _text(key)) for number, key in rows]
                if any(after <= before for before, after in pairwise((last, *found))):
                    return  # keys out of order: the file is damaged, and some may have been passed over
                known.add((names[number], key) for number, key in found if number in names)
                more = len(found) == page_rows
                # The last key is read again with the next page, which proves that it stands where the page begins: a damaged
                # key could pass for the greatest of all and end the reading.
                last = (found[-2:] or [last])[0]
                page_rows = next_page_rows(page_rows, took_s)
                await asyncio.sleep(min(max(_LEAST_PAUSE_S, took_s), _MOST_PAUSE_S))
            self._complete_at = known.added


def _text(stored: bytes) -> str:
    # In a damaged file a key may be no valid text. Nobody asks for such a key.
    return stored.decode(errors="surrogateescape")


def next_page_rows(rows: int, took_s: float) -> int:
    """Return how many rows the next page has, after a page of `rows` took `took_s`."""
    if took_s > _LONG_S:
        return max(LEAST_ROWS, rows // 2)
    return min(MOST_ROWS, rows * 2) if took_s < _SHORT_S else rows


def _number(namespace: str, key: str) -> int:
    # A key with lone surrogates may be asked for too, though no file can hold it.
    return xxh3_128_intdigest(f"{namespace}\0{key}".encode(errors="surrogatepass"))
