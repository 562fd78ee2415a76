"""Whether an answer is whole: the upstream's limits are trusted only as far as they were seen honoured a moment ago.

The theory. `core.series.sampling` proves an answer complete by its limit. That holds where the upstream honours the limit that
it was sent; a server that silently keeps to a smaller one, of rows of a name, of all rows or of bytes, sends less, and it looks
the same. What is trusted instead is what was seen. Three things prove that nothing is missing:

- **More was sent.** An answer with m rows of one name shows that at least m - 1 rows of one are sent (the last row of a sampled
  name comes in addition). So one with at most half of that, in every respect (`Size`), was not sampled, and one with less was
  not cut. `core.proof.limits` says what was seen lately enough for that.
- **A smaller limit.** The same question with a limit l below the n rows of a name must be answered with what is computed from
  them. Were the n rows only every s-th (s >= 2), the rows of that answer would lie ceil(N / l) apart, with N <= (n - 1) s + 1,
  and those that are computed s ceil(n / l). These differ where 2 (r + 1) > l, with r = ceil(n / l) l - n: then
  s ceil(n / l) l = s (n + r) >= N + s (r + 1) - 1 > N + l - 1. So l must be chosen for n (`probes`), and what comes shows the
  first row, the last one, those between and all names at once: a cut answer lacks some of them. That nothing is missing from
  this small answer is shown by the large one.
- **Known rows.** Three rows that are known to follow each other, all of them at the beginning of what came, show that nothing
  was left out between the rows of this name; that its end was not cut, less rows than were seen lately.

Nothing is concluded about an upstream that sends fewer than 3 rows. At most 2 rows are therefore always all of them."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from msgspec.structs import replace as changed

from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.growth import NOTHING
from proxy.core.series.sampling import sampled, sent

# An answer of so few rows is whole whatever was seen.
FEW_ROWS = 2
# So many known rows at the beginning of an answer show that none is left out.
SHOWING = 3
Tails = tuple[tuple[int, int], ...]
_MOST_PROBES = 2
_MOST_LIMIT = 64
# What a cut answer may lack of the bytes that would be sent, in rows of the usual length.
_ROOM_ROWS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much one answer holds: names, rows of the longest name, rows together, and bytes as it came."""

    names: int
    most: int
    rows: int
    bytes: int

    def holds(self, other: "Size") -> bool:
        """Tell whether this is at least as large in every respect."""
        return self.joined(other) == self

    def joined(self, other: "Size") -> "Size":
        """Return the least size that is as large as both in every respect.

        Rows count beyond two a name: so many more come of each where all rows together are sampled by one stride, a last row
        and a part of a stride. An answer with many names would show more rows to be sent than are.
        """
        names = max(self.names, other.names)
        return Size(
            names=names,
            most=max(self.most, other.most),
            rows=2 * names + max(self.rows - 2 * self.names, other.rows - 2 * other.names),
            bytes=max(self.bytes, other.bytes),
        )

    @property
    def doubled(self) -> "Size":
        """What must have been sent for this to have been neither sampled nor cut."""
        return Size(names=self.names, most=2 * self.most + 1, rows=2 * (self.rows + self.names), bytes=2 * self.bytes)

    def is_whole_beside(self, other: "Size") -> bool:
        """Tell whether an answer of this size is whole where one of the other was sent at the same time."""
        return self.rows <= FEW_ROWS or other.holds(self.doubled)

    @property
    def exceeded(self) -> "Size":
        """What must have been sent for this not to have been cut: one row more, and bytes that would have held some more."""
        row_bytes = -(-self.bytes // max(1, self.rows))
        return Size(names=self.names, most=self.most + 1, rows=self.rows + 1, bytes=self.bytes + _ROOM_ROWS * row_bytes)


def size_of(extents: Extents, body_bytes: int) -> Size:
    """Return the size of an answer that was taken apart; `body_bytes` is its length."""
    rows = [len(extent.steps) for extent in extents.by_name.values()]
    return Size(names=len(rows), most=max(rows, default=0), rows=sum(rows), bytes=body_bytes)


def tails_of(extents: Extents) -> Tails:
    """Return from which steps on an eighth, a quarter and half of the rows of the longest name lie, with their number."""
    steps = max((extent.steps for extent in extents.by_name.values()), key=len, default=NOTHING)
    counts = [len(steps) // 8, len(steps) // 4, len(steps) // 2]
    return tuple((count, steps[-count]) for count in counts if count)


def is_probed_by(rows: int, limit: int) -> bool:
    """Tell whether the answer with this limit differs from what is computed if `rows` are only some of a name's rows."""
    return rows > limit > 1 and 2 * (-rows % limit + 1) > limit


def probes(lengths: Iterable[int]) -> Sequence[int]:
    """Return the limits to ask with so that names of these lengths are proven: few, small ones; not each may be."""
    counts = Counter(lengths)
    unproven = {rows for rows in counts if rows > FEW_ROWS}
    usable = [limit for limit in range(2, min(_MOST_LIMIT, max(unproven, default=0) - 1) + 1) if _is_small(counts, limit)]
    limits: list[int] = []
    while unproven and len(limits) < _MOST_PROBES:
        best = max(usable, key=lambda limit: (len(proven_by(unproven, limit)), -limit), default=0)
        proven = proven_by(unproven, best) if best else set()
        if not proven:
            break
        limits.append(best)
        unproven -= proven
    return limits


def _is_small(counts: Mapping[int, int], limit: int) -> bool:
    """Tell whether the answer with a limit is so small that nothing of it is left out either, rows of equal length taken."""
    shown = {rows: sent(rows, limit) for rows in counts}
    probe, whole = (
        Size(
            names=sum(counts.values()),
            most=max(sizes),
            rows=(total := sum(size * count for size, count in zip(sizes, counts.values(), strict=True))),
            bytes=total,
        )
        for sizes in (list(shown.values()), list(counts))
    )
    return probe.is_whole_beside(whole)


def proven_by(lengths: Iterable[int], limit: int) -> set[int]:
    """Return which lengths of names one answer with a limit proves.

    Where a name with more rows than the limit is proven, the upstream sends more than `limit` rows of one, so that names with
    at most half as many are whole too.
    """
    lengths = set(lengths)
    probed = {rows for rows in lengths if is_probed_by(rows, limit)}
    return probed | {rows for rows in lengths if 2 * rows <= limit} if probed else probed


def confirmed(extents: Extents, limit: int, said: Mapping[str, Sequence[bytes]]) -> set[str]:
    """Return the names that an answer to the same question with a smaller limit, itself whole, proves whole.

    `said` are its rows by name.
    """
    complete = extents.complete
    right = {name for name, extent in complete.items() if _sampled(extent, limit) == list(said.get(name, ()))}
    lengths = proven_by((len(complete[name].rows) for name in right), limit)
    return {name for name in right if len(complete[name].rows) in lengths}


def _sampled(extent: Extent, limit: int) -> list[bytes]:
    return [extent.head + extent.rows[place] for place in sampled(len(extent.rows), limit)]


def shown(known: Extent, new: Extent, first: int) -> bool:
    """Tell whether known rows show that nothing is left out between the rows that came from step `first` on."""
    begin, end = window_of(known.steps, first, None)
    return end - begin >= SHOWING and known.agrees(new, slice(begin, begin + SHOWING), slice(0, SHOWING))


def lost(known: Extent, new: Extent | None, first: int, last: int | None) -> bool:
    """Tell whether steps that are known to have rows in a window are missing from what came of it."""
    begin, end = window_of(known.steps, first, last)
    steps = known.steps[begin:end]
    if new is None:
        return bool(steps)
    return new.steps[: len(steps)] != steps and not set(steps) <= set(new.steps)


def lacks(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether an answer lacks rows that are known."""
    question = extents.question
    return any(
        lost(extent, extents.by_name.get(name), question.first, question.last)
        for window in known
        for name, extent in window.by_name.items()
        if extent.known is Known.ALL and question.name in {None, name}
    )


def all_shown(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether known rows show of every name that nothing is left out between its rows.

    Where the rows of a name are shown, the upstream sends as many of each, so that half as many of another one are all of them.
    """
    first = extents.question.first
    complete = extents.complete
    seen = {name for name, new in complete.items() if any(shown(old, new, first) for old in _of(known, name))}
    most = max((len(complete[name].rows) for name in seen), default=0)
    return bool(seen) and all(name in seen or 2 * len(extent.rows) <= most for name, extent in complete.items())


def reaching(extents: Extents, known: Sequence[Extents], since_s: float) -> Extents | None:
    """Return an answer as of when the last rows were known that it reaches to, None where that was before `since_s`.

    It was not cut before those; what came since may have been.
    """
    ends = [window for window in known if window.question.last is None]
    complete = extents.complete
    reached = ([old.tail_asked_s for old in _of(ends, name) if _reaches(new, old)] for name, new in complete.items())
    tail_asked_s = min((max(tails, default=-math.inf) for tails in reached), default=-math.inf)
    if tail_asked_s < since_s:
        return None
    by_name = {
        name: changed(extent, tail_asked_s=min(extent.tail_asked_s, tail_asked_s)) for name, extent in extents.by_name.items()
    }
    return replace(extents, by_name=by_name, tail_asked_s=min(extents.tail_asked_s, tail_asked_s))


def _reaches(new: Extent, known: Extent) -> bool:
    """Tell whether the last row that is known is among those that came."""
    place = bisect_left(new.steps, known.steps[-1])
    return new.texts(place, place + 1) == known.texts(-1)


def _of(windows: Sequence[Extents], name: str) -> list[Extent]:
    """Return what is known whole of a name."""
    found = (window.by_name.get(name) for window in windows)
    return [extent for extent in found if extent is not None and extent.known is Known.ALL]
