"""How much one answer holds, and what a larger answer proves of a smaller one.

An answer with m rows of one name shows that the upstream sends at least m - 1 rows of one name (the last row of a sampled name
comes in addition). So an answer with at most half of that, in every respect of `Size`, was not sampled; and one that is smaller
in every respect was not cut. `core.proof.limits` says which answers were seen lately enough for that.
"""

from dataclasses import dataclass

from proxy.core.series.extents import Extents

# An answer with at most so many rows counts as whole, whatever was seen before.
FEW_ROWS = 2
Thinned = tuple[tuple[int, int, int], ...]
"""(limit, rows of the longest name, rows together) that would come at least with smaller limits, the smallest first."""
# The smaller limits that an answer's question might be asked with.
_LIMITS = tuple(2**power for power in range(4, 13))
# By how much a cut answer may stay below the bytes that the upstream would send, in rows of the answer's mean length.
_ROOM_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much one answer holds.

    `names`: how many there are. `most`: the rows of the name with the most. `rows`: those of all names together. `bytes`: the
    length of the body as it came.
    """

    names: int
    most: int
    rows: int
    bytes: int

    def holds(self, other: "Size") -> bool:
        """Tell whether this is at least as large in every respect, however many names there are.

        Of the rows, those beyond two a name are compared as well. Where all rows together are sampled by one stride, up to two
        more come of each name: its last row, and one for a part of a stride. Counted, they would let an answer with many names
        show that the upstream sends more rows than it does.
        """
        return (
            self.most >= other.most
            and self.rows >= other.rows
            and self.bytes >= other.bytes
            and self.rows - 2 * self.names >= other.rows - 2 * other.names
        )

    def joined(self, other: "Size") -> "Size":
        """Return a size that holds both, and that no size holds which doesn't hold both."""
        names = max(self.names, other.names)
        return Size(
            names=names,
            most=max(self.most, other.most),
            rows=2 * names + max(self.rows - 2 * self.names, other.rows - 2 * other.names),
            bytes=max(self.bytes, other.bytes),
        )

    @property
    def doubled(self) -> "Size":
        """The size that an answer sent at the time must hold to prove this one neither sampled nor cut."""
        return Size(names=self.names, most=2 * self.most + 1, rows=2 * (self.rows + self.names), bytes=2 * self.bytes)

    def is_whole_beside(self, other: "Size") -> bool:
        """Tell whether an answer of this size is whole, given that one of the other size was sent at the same time."""
        return self.rows <= FEW_ROWS or other.holds(self.doubled)

    @property
    def exceeded(self) -> "Size":
        """The size that an answer sent at the time must hold to prove this one not cut: a row more, and room for some more."""
        row_bytes = -(-self.bytes // max(1, self.rows))
        return Size(names=self.names, most=self.most + 1, rows=self.rows + 1, bytes=self.bytes + _ROOM_ROWS * row_bytes)


def size_of(extents: Extents, body_bytes: int) -> Size:
    """Return the size of an answer that was taken apart; `body_bytes` is the length of its body."""
    rows = [len(extent.steps) for extent in extents.by_name.values()]
    return Size(names=len(rows), most=max(rows, default=0), rows=sum(rows), bytes=body_bytes)


def thinned_of(extents: Extents) -> Thinned:
    """Return how much would come of the same names with smaller limits, where that is less than came."""
    lengths = [len(extent.steps) for extent in extents.by_name.values()]
    longest = max(lengths, default=0)
    # A sample has more than half the limit of rows (`core.series.sampling`).
    least = ((limit, limit // 2 + 1) for limit in _LIMITS if limit < longest)
    return tuple((limit, most, sum(min(length, most) for length in lengths)) for limit, most in least)
