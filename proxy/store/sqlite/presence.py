"""Which keys a file may hold, so that a question that nobody asked before needn't wait for the disk to say so."""

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

# Whoever reads something has to wait for a page of keys: it has as many as can be had in so long, and others have their turn
# for as long again. On a disk that has to seek for each of them that makes a great difference.
LEAST_ROWS, MOST_ROWS = 16, 256
_SHORT_S, _LONG_S = 0.002, 0.01
_LEAST_PAUSE_S, _MOST_PAUSE_S = 0.002, 1.0
# Each key sets so many bits, and there are so many for each key that is expected: of what isn't there 0.2 % are found then.
_PROBES = 4
_BITS_FOR_EACH = 16
_WORD_BITS = 32
_FIRST_ID = -(2**63)


class Filter:
    """A Bloom filter: whatever was added is found; of what wasn't, a few are found as well, more of them the fuller it is."""

    def __init__(self, most: int) -> None:
        bits = 1 << max(10, (most * _BITS_FOR_EACH - 1).bit_length())
        self._mask = bits - 1
        self._bits = bytearray(bits // 8)
        self.added = 0
        """How often something was added."""

    def add(self, places: Iterable[EntryKey]) -> None:
        """Remember namespaces and keys."""
        bits, mask = self._bits, self._mask
        for place in places:
            number = _number(*place)
            for _ in range(_PROBES):
                bit = number & mask
                bits[bit >> 3] |= 1 << (bit & 7)
                number >>= _WORD_BITS
            self.added += 1

    def __contains__(self, place: EntryKey) -> bool:
        """Return False only for what was never added."""
        number = _number(*place)
        for _ in range(_PROBES):
            bit = number & self._mask
            if not self._bits[bit >> 3] & 1 << (bit & 7):
                return False
            number >>= _WORD_BITS
        return True


class Presence:
    """Knows of most keys that an opened file doesn't hold that it doesn't, once it has gone through those that it does.

    What is about to be written is added before. What the file throws out isn't taken away: it is looked for in vain, until
    after `most` more all is learned anew. `most`: how many keys the file will hold, roughly.
    """

    def __init__(self, reader: aiosqlite.Connection, *, most: int) -> None:
        self._reader = reader
        self._most = most
        self._filter = Filter(most)
        self._learned: int | None = None
        self._learning: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_complete(self) -> bool:
        """Whether all keys of the file are known."""
        return self._learned is not None

    def may_hold(self, place: EntryKey) -> bool:
        """Return False only where the file holds nothing there."""
        return self._learned is None or place in self._filter

    def add(self, places: Collection[EntryKey]) -> None:
        """Know what is about to be written."""
        self._filter.add(places)
        if self._learned is not None and self._filter.added - self._learned > self._most:
            self.learn()
            self._filter.add(places)

    def forget(self) -> None:
        """Say no to nothing any more: keys move within the file."""
        self._learned = None
        if self._learning is not None:
            self._learning.cancel()

    def learn(self) -> None:
        """Begin to go through the file's keys, anew."""
        self.forget()
        if self._closed:
            return
        self._filter = Filter(self._most)
        self._learning = asyncio.get_running_loop().create_task(self._learn(self._filter), name="store-presence")

    async def close(self) -> None:
        """End what is under way."""
        self._closed = True
        self.forget()
        if self._learning is not None:
            await asyncio.wait({self._learning})

    async def _learn(self, known: Filter) -> None:
        # Whatever is wrong with the file, those who read what they need will find it out.
        with suppress(sqlite3.Error, ValueError):
            names = {number: _text(name) for number, name in await run(self._reader, schema.SELECT_NAMESPACES)}
            last, most, more = (_FIRST_ID, ""), LEAST_ROWS, True
            now_s = asyncio.get_running_loop().time
            while more:
                began_s = now_s()
                rows = await run(self._reader, schema.SELECT_KEYS, (*last, most))
                took_s = now_s() - began_s
                found = [(number, _text(key)) for number, key in rows]
                if any(after <= before for before, after in pairwise((last, *found))):
                    return  # a damaged file, of which some was passed over
                known.add((names[number], key) for number, key in found if number in names)
                more = len(found) == most
                # The last one is read again: in its place, not behind a damaged one that only seems to be the last of all.
                last = (found[-2:] or [last])[0]
                most = pace(most, took_s)
                await asyncio.sleep(min(max(_LEAST_PAUSE_S, took_s), _MOST_PAUSE_S))
            self._learned = known.added


def _text(stored: bytes) -> str:
    # In a damaged file it may be no text, which nobody asks for.
    return stored.decode(errors="surrogateescape")


def pace(rows: int, took_s: float) -> int:
    """Return how many rows to read after so many took so long."""
    if took_s > _LONG_S:
        return max(LEAST_ROWS, rows // 2)
    return min(MOST_ROWS, rows * 2) if took_s < _SHORT_S else rows


def _number(namespace: str, key: str) -> int:
    # What no file can hold may be asked for as well: lone surrogates.
    return xxh3_128_intdigest(f"{namespace}\0{key}".encode(errors="surrogatepass"))
