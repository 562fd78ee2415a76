"""The rows and steps of a long series: chunks, and rows that are held as they are, one part after the other.

Short series have their rows in a tuple and their steps in an array. A long one has a `LongRows` and a `LongSteps` instead,
which are read in the same way, by number or slice, and share one `Parts`. Nothing of these is ever changed: what grows shares
all parts but the last with what it was before.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, overload

from proxy.core.pieces import Work, finished
from proxy.core.series.chunks import AT_ONCE, Chunk

# What a row that is held as it is costs beside its bytes: its object, its place in the tuple, its step, and what the allocator
# rounds up.
ROW_BYTES = 33 + 8 + 8 + 8
NO_STEPS: "array[int]" = array("q")


@dataclass(frozen=True, slots=True, eq=False)
class OpenRows:
    """Rows, at least one, held as they are. `size_bytes` is what they cost in memory."""

    held: tuple[bytes, ...]
    held_steps: "array[int]"
    size_bytes: int

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.held)

    @property
    def last(self) -> int:
        """The step of the last row."""
        return self.held_steps[-1]

    def texts(self, first: int, end: int, every: int = 1) -> Sequence[bytes]:
        """Return each `every`-th row from number `first` on, up to `end`, exclusive."""
        return self.held[first:end:every]

    def steps(self, first: int, end: int) -> "array[int]":
        """Return the steps of the rows from number `first` to `end`, exclusive."""
        return self.held_steps[first:end]

    def step(self, number: int) -> int:
        """Return the step of a row."""
        return self.held_steps[number]

    def place(self, step: int) -> int:
        """Return the number of the first row at a step or later; `count` where there is none."""
        return bisect_left(self.held_steps, step)


Part = Chunk | OpenRows


class Parts:
    """Parts of a series, each with rows, in the order of their steps."""

    __slots__ = ("_lasts", "_starts", "all", "count", "size_bytes")

    def __init__(self, parts: Sequence[Part]) -> None:
        self.all = tuple(parts)
        self._starts = array("q")
        count = 0
        for part in self.all:
            self._starts.append(count)
            count += part.count
        self._lasts = array("q", [part.last for part in self.all])
        self.count = count
        """How many rows there are."""
        self.size_bytes = sum(part.size_bytes for part in self.all)
        """What the parts cost in memory."""

    def within(self, begin: int, end: int) -> Iterator[tuple[Part, int, int]]:
        """Yield each part with rows from number `begin` to `end`, exclusive, and from and up to which of its own these go."""
        index = max(0, bisect_right(self._starts, begin) - 1)
        while begin < end:
            part, start = self.all[index], self._starts[index]
            yield part, begin - start, min(end - start, part.count)
            begin, index = start + part.count, index + 1

    def texts(self, begin: int, end: int, every: int = 1) -> tuple[bytes, ...]:
        """Return each `every`-th row from number `begin` on, up to `end`, exclusive. Raises ChunkAbsentError."""
        return finished(self.reading(begin, end, every))

    def reading(self, begin: int, end: int, every: int = 1) -> Work[tuple[bytes, ...]]:
        """Do the work of `texts`, with breaks."""
        found: list[bytes] = []
        ahead = until = 0
        for part, first, last in self.within(begin, end):
            # So many rows of this part come before the next one of the sample.
            place = first + ahead
            if place < last:
                found += part.texts(place, last, every)
                place += (last - place - 1) // every * every + every
            ahead = place - last
            if len(found) >= until:
                until = len(found) + AT_ONCE
                yield None
        return tuple(found)

    def steps(self, begin: int, end: int) -> "array[int]":
        """Return the steps of the rows from number `begin` to `end`, exclusive."""
        found = array("q")
        for part, first, last in self.within(begin, end):
            found += part.steps(first, last)
        return found

    def number(self, key: int) -> int:
        """Return the number of a row, which may be counted from the end. Raises IndexError where there is no such row."""
        number = key + self.count if key < 0 else key
        if not 0 <= number < self.count:
            raise IndexError(key)
        return number

    def step(self, number: int) -> int:
        """Return the step of a row."""
        index = bisect_right(self._starts, number) - 1
        return self.all[index].step(number - self._starts[index])

    def place(self, step: int) -> int:
        """Return the number of the first row at a step or later; `count` where there is none."""
        index = bisect_left(self._lasts, step)
        return self.count if index == len(self.all) else self._starts[index] + self.all[index].place(step)

    def cut(self, begin: int, end: int) -> list[Part]:
        """Return the parts with the rows from number `begin` to `end`, exclusive.

        Raises ChunkAbsentError where a chunk is divided.
        """
        return [_cut(part, first, last) for part, first, last in self.within(begin, end)]


def _cut(part: Part, first: int, last: int) -> Part:
    if (first, last) == (0, part.count):
        return part
    if first == 0 and isinstance(part, OpenRows):
        # Where a series grows, only its last rows are cut off.
        left = part.size_bytes - _cost(part.held[last:])
        return OpenRows(part.held[:last], part.held_steps[:last], left)
    return open_rows(part.texts(first, last), part.steps(first, last))


def open_rows(texts: Sequence[bytes], steps: "array[int]") -> OpenRows:
    """Return rows, at least one, held as they are."""
    held = tuple(texts)
    return OpenRows(held, steps, _cost(held))


def _cost(held: Sequence[bytes]) -> int:
    return sum(map(len, held)) + ROW_BYTES * len(held)


class LongSteps(Sequence[int]):
    """The steps of a long series. A slice is an array."""

    __slots__ = ("parts",)

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return self.parts.count

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> "array[int]": ...
    def __getitem__(self, key: int | slice) -> "int | array[int]":
        if isinstance(key, slice):
            begin, end, every = key.indices(self.parts.count)
            return self.parts.steps(begin, end)[::every]
        return self.parts.step(self.parts.number(key))

    def __iter__(self) -> Iterator[int]:
        for part in self.parts.all:
            yield from part.steps(0, part.count)


class LongRows(Sequence[bytes]):
    """The rows of a long series, without their common head. A slice is a tuple. Both raise ChunkAbsentError."""

    __slots__ = ("parts",)

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return self.parts.count

    @overload
    def __getitem__(self, key: int) -> bytes: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[bytes, ...]: ...
    def __getitem__(self, key: int | slice) -> bytes | tuple[bytes, ...]:
        if isinstance(key, slice):
            return self.parts.texts(*key.indices(self.parts.count))
        number = self.parts.number(key)
        return self.parts.texts(number, number + 1)[0]


def comparing(one: "Rows", other: "Rows", begin: int = 0) -> Work[bool]:
    """Tell whether all rows of `other` are those of `one` from number `begin` on, with breaks.

    Chunks that both share are not looked at. Raises ChunkAbsentError.
    """
    if len(one) - begin < len(other):
        return False
    place = 0
    while place < len(other):
        count = _shared(one, begin + place, other, place)
        if not count:
            count = min(AT_ONCE, len(other) - place)
            if one[begin + place : begin + place + count] != other[place : place + count]:
                return False
        yield None
        place += count
    return True


def _shared(one: "Rows", begin: int, other: "Rows", place: int) -> int:
    """Return how many rows the chunk has that begins at a number of one series and another of the other; 0 for none."""
    if not isinstance(one, LongRows) or not isinstance(other, LongRows):
        return 0
    (mine, first, _), (theirs, at, _) = next(one.parts.within(begin, len(one))), next(other.parts.within(place, len(other)))
    same = isinstance(mine, Chunk) and isinstance(theirs, Chunk) and mine.digest == theirs.digest and first == at == 0
    return mine.count if same else 0


Steps: TypeAlias = "array[int] | LongSteps"
Rows: TypeAlias = tuple[bytes, ...] | LongRows


def place_of(steps: Steps, step: int) -> int:
    """Return the number of the first row at a step or later; how many rows there are where there is none."""
    return bisect_left(steps, step) if isinstance(steps, array) else steps.parts.place(step)


def parts_of(rows: Rows, steps: Steps, begin: int = 0, end: int | None = None) -> list[Part]:
    """Return the rows from number `begin` to `end`, exclusive, as parts. Raises ChunkAbsentError where a chunk is divided."""
    end = len(rows) if end is None else end
    if isinstance(rows, LongRows):
        return rows.parts.cut(begin, end)
    if begin >= end:
        return []
    return [open_rows(rows[begin:end], array("q", steps[begin:end]))]


def rows_of(parts: Sequence[Part]) -> tuple[Rows, Steps]:
    """Return parts as rows and steps: a tuple and an array where none of them is a chunk."""
    joined = merged(parts)
    if any(isinstance(part, Chunk) for part in joined):
        whole = Parts(joined)
        return LongRows(whole), LongSteps(whole)
    return (joined[0].held, joined[0].held_steps) if joined and isinstance(joined[0], OpenRows) else ((), NO_STEPS)


def merged(parts: Sequence[Part]) -> list[Part]:
    """Return parts of which no two neighbours are open."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if isinstance(before, OpenRows) and isinstance(part, OpenRows):
            joined[-1] = OpenRows(
                before.held + part.held, before.held_steps + part.held_steps, before.size_bytes + part.size_bytes
            )
        else:
            joined.append(part)
    return joined
