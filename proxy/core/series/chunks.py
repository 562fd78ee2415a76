"""Rows of a long series, held compactly: what they have in common once, and of each row what is left.

A row's text is cut at its quotation marks. Where a piece is the same in all rows of a chunk, as names of fields are, it is part
of the chunk's **template**. Of any other piece, what all begin with and end in goes into the template as well; what is left
makes a **column**, in which each row has a place of the same width. So any row is found by its number and put together again by
text alone, byte for byte, and nothing else needs to be looked at: a sample of a long series touches every chunk of it, and rows
that are compressed together would all have to be read for each sample.

A usual row of 90 bytes takes about 32. On disk, where whole chunks are read, they are compressed on top of that.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from re import Pattern
from struct import unpack

import msgspec
from msgspec.structs import replace as changed

from proxy.core.freshness.entry import digest_of
from proxy.core.pieces import Work, finished

# Fills a row's place in a column. No JSON text holds it.
_FILLING = b"\0"
# A column whose places would take more than this many times what is in them has no places.
_MOST_FILLING = 2
# Where a template has the place of a column.
_PLACE = b"%b"
# There is a break after so many rows: to cut them up, or put them together again, takes about 0.5 ms.
AT_ONCE = 256
# What a chunk costs beside its columns and steps.
_CHUNK_BYTES = 800


class ChunkAbsentError(Exception):
    """The rows of a chunk are on disk alone."""


@dataclass(frozen=True, slots=True)
class Field:
    """What stands in one place of each of `count` rows: `before`, what is in a column (None: nothing), `after`.

    `width`: as in `_Rows`.
    """

    count: int
    before: bytes
    column: bytes | None
    width: int
    after: bytes

    def joined(self, separator: bytes) -> bytes:
        """Return what stands there in all rows, with a separator in between."""
        between = self.after + separator + self.before
        if self.column is None:
            return separator.join([self.before] * self.count)
        if not self.width:
            return self.before + self.column.replace(_FILLING, between) + self.after
        places = unpack(f"{self.width}s" * self.count, self.column)
        # All that fills the places is at their ends.
        return (self.before + between.join(places) + self.after).replace(_FILLING, b"")


class _Rows(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The rows of a chunk: `template` with a place for each column, and the columns.

    A column has `widths` bytes for each row, or none: then its rows follow each other, with `_FILLING` in between.
    """

    template: bytes
    columns: tuple[bytes, ...]
    widths: tuple[int, ...]

    def texts(self, first: int, end: int, every: int) -> list[bytes]:
        """Return each `every`-th row from `first` on, up to `end`, exclusive."""
        places = range(first, end, every)
        template = self.template
        if not self.columns:
            return [template % ()] * len(places)
        columns = [
            [column[place : place + width].rstrip(_FILLING) for place in range(first * width, end * width, every * width)]
            if width
            else column.split(_FILLING)[first:end:every]
            for column, width in zip(self.columns, self.widths, strict=True)
        ]
        return [template % values for values in zip(*columns, strict=True)]

    def field(self, begin: int, end: int, count: int) -> Field:
        """Return what stands in each of `count` rows where the template, in which nothing is escaped, has these bytes."""
        before, place, after = self.template[begin:end].partition(_PLACE)
        if not place:
            return Field(count, before, None, 0, b"")
        number = self.template.count(_PLACE, 0, begin)
        return Field(count, before, self.columns[number], self.widths[number], after)


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """A chunk as it is stored. `offsets`: the steps' distances from the first, as bytes of an array of type `code`."""

    rows: _Rows
    count: int
    first: int
    every: int
    code: str
    offsets: bytes


_stored = msgspec.msgpack.Decoder(_Stored)


class Chunk(msgspec.Struct, frozen=True, gc=False, kw_only=True, eq=False):
    """Some hundred rows of a series, one after the other. `first` and `last` are the steps of the first and the last row.

    `offsets` are the rows' distances in steps from the first; None where they lie `every` steps apart. `digest` is that of the
    chunk as it is stored. `rows` is None where they are on disk alone. `size_bytes` is what the chunk costs in memory.
    """

    count: int
    first: int
    last: int
    every: int
    offsets: "array[int] | None"
    digest: str
    rows: _Rows | None
    size_bytes: int

    def texts(self, first: int, end: int, every: int = 1) -> list[bytes]:
        """Return each `every`-th row from number `first` on, up to `end`, exclusive. Raises ChunkAbsentError."""
        if self.rows is None:
            raise ChunkAbsentError
        return self.rows.texts(first, end, every)

    def fields(self, layout: Pattern[bytes]) -> list[Field] | None:
        """Return what stands where the groups of a pattern match all rows; None where that cannot be told.

        The pattern is matched with what the rows have in common, in which `%b` stands for what they don't. A group is for what
        is between two quotation marks, or a part of that. Raises ChunkAbsentError.
        """
        rows = self.rows
        if rows is None:
            raise ChunkAbsentError
        found = layout.fullmatch(rows.template)
        if found is None or b"%%" in rows.template:
            return None
        return [rows.field(*found.span(number), self.count) for number in range(1, layout.groups + 1)]

    def steps(self, first: int, end: int) -> "array[int]":
        """Return the steps of the rows from number `first` to `end`, exclusive."""
        if self.offsets is None:
            return array("q", range(self.first + first * self.every, self.first + end * self.every, self.every))
        base = self.first
        return array("q", [base + offset for offset in self.offsets[first:end]])

    def step(self, number: int) -> int:
        """Return the step of a row, by its number from 0 on."""
        return self.first + (number * self.every if self.offsets is None else self.offsets[number])

    def place(self, step: int) -> int:
        """Return the number of the first row at a step or later; `count` where there is none."""
        if step <= self.first:
            return 0
        if self.offsets is not None:
            return bisect_left(self.offsets, step - self.first)
        return min(self.count, -((self.first - step) // self.every))

    def let_go(self) -> "Chunk":
        """Return the chunk without its rows, which are to be read from disk when they are needed."""
        return self if self.rows is None else changed(self, rows=None, size_bytes=_size(self.offsets, None))

    def stored(self) -> bytes:
        """Return the chunk as it is stored. Raises ChunkAbsentError."""
        if self.rows is None:
            raise ChunkAbsentError
        return _encoded(self.rows, self.count, self.first, self.every, self.offsets)


def chunk_of(texts: Sequence[bytes], steps: "array[int]") -> Chunk:
    """Return a chunk of rows, at least one, whose steps grow."""
    return finished(chunking(texts, steps))


def chunking(texts: Sequence[bytes], steps: "array[int]") -> Work[Chunk]:
    """Do the work of `chunk_of`, with breaks."""
    cut: list[list[bytes]] = []
    for begin in range(0, len(texts), AT_ONCE):
        cut += [text.split(b'"') for text in texts[begin : begin + AT_ONCE]]
        yield None
    if any(len(pieces) != len(cut[0]) for pieces in cut):
        cut = [[text] for text in texts]
    template: list[bytes] = []
    columns: list[bytes] = []
    widths: list[int] = []
    for pieces in zip(*cut, strict=True):
        if pieces.count(pieces[0]) == len(pieces):
            template.append(_verbatim(pieces[0]))
            continue
        before, after = _common_ends(pieces)
        column, width = _column([piece[before : len(piece) - after] for piece in pieces])
        columns.append(column)
        widths.append(width)
        template.append(_verbatim(pieces[0][:before]) + b"%b" + _verbatim(pieces[0][len(pieces[0]) - after :]))
        yield None
    rows = _Rows(template=b'"'.join(template), columns=tuple(columns), widths=tuple(widths))
    return _chunk(rows, *_distances(steps), first=steps[0], last=steps[-1], count=len(texts))


def read_chunk(stored: bytes) -> Chunk:
    """Return a chunk that was stored. Raises ValueError where it cannot be read."""
    try:
        told = _stored.decode(stored)
        offsets = array(told.code, told.offsets) if told.code else None
        last = told.first + (offsets[-1] if offsets is not None else told.every * (told.count - 1))
    except (msgspec.DecodeError, ValueError, IndexError) as exc:
        raise ValueError(f"not a chunk of rows: {exc}") from None
    return _chunk(told.rows, offsets, told.every, first=told.first, last=last, count=told.count)


def _chunk(rows: _Rows, offsets: "array[int] | None", every: int, *, first: int, last: int, count: int) -> Chunk:
    digest = digest_of(_encoded(rows, count, first, every, offsets))
    return Chunk(
        count=count,
        first=first,
        last=last,
        every=every,
        offsets=offsets,
        digest=digest,
        rows=rows,
        size_bytes=_size(offsets, rows),
    )


def _encoded(rows: _Rows, count: int, first: int, every: int, offsets: "array[int] | None") -> bytes:
    code, steps = ("", b"") if offsets is None else (offsets.typecode, offsets.tobytes())
    return msgspec.msgpack.encode(_Stored(rows=rows, count=count, first=first, every=every, code=code, offsets=steps))


def _size(offsets: "array[int] | None", rows: _Rows | None) -> int:
    held = 0 if rows is None else sum(map(len, rows.columns))
    return _CHUNK_BYTES + held + (0 if offsets is None else offsets.itemsize * len(offsets))


def _verbatim(text: bytes) -> bytes:
    return text.replace(b"%", b"%%")


def _common_ends(pieces: Sequence[bytes]) -> tuple[int, int]:
    """Return how many bytes all pieces begin with, and how many of the rest all end in."""
    before = _common_beginning(min(pieces), max(pieces))
    ends = [piece[before:][::-1] for piece in pieces]
    return before, _common_beginning(min(ends), max(ends))


def _common_beginning(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _column(values: Sequence[bytes]) -> tuple[bytes, int]:
    """Return a column, and how many bytes each row has in it: 0 where they follow each other."""
    width = max(map(len, values))
    if width * len(values) > _MOST_FILLING * sum(map(len, values)) + len(values):
        return _FILLING.join(values), 0
    return b"".join([value.ljust(width, _FILLING) for value in values]), width


def _distances(steps: "array[int]") -> "tuple[array[int] | None, int]":
    """Return the steps' distances from the first, or None and the distance between any two neighbours where that is one."""
    every = steps[1] - steps[0] if len(steps) > 1 else 1
    if steps[-1] - steps[0] == every * (len(steps) - 1) and _are_apart(steps, every):
        return None, every
    code = next(code for code in "HIQ" if steps[-1] - steps[0] < 2 ** (8 * array(code).itemsize))
    return array(code, [step - steps[0] for step in steps]), 0


def _are_apart(steps: Iterable[int], every: int) -> bool:
    return all(after - before == every for before, after in pairwise(steps))
