"""What later answers add to extents: new rows at the end, a name in full, a window beside another one.

Two answers are of two moments, and what is put together of them may never have been the case as a whole. It is put together
all the same where the promise allows it (docs/series.md, "What is promised"): every row of it was so at a moment that is
not longer ago than the ages say. What is never done is to put together what contradicts itself: a **delta** (an answer from
some step on) must hold every known row from there on, unchanged and in the same shape, and prove itself complete; so must two
windows where they overlap. A name of which that isn't so is no longer known (`Known.NOT_YET`) until it was asked for in full.
"""

from array import array
from bisect import bisect_left
from dataclasses import replace
from itertools import pairwise

from msgspec.structs import replace as changed

from proxy.core.pieces import Work, finished
from proxy.core.series.extents import Extent, Extents, Known, window_of
from proxy.core.series.metrics_query import MetricsQuery

NOTHING: "array[int]" = array("q")
_ALL = slice(0, None)
# Fewer known rows say nothing about whether they are all.
_LEAST_KNOWN = 4


def overlap_from(extent: Extent) -> int:
    """Return the step from which on a delta must ask: where gaps may still be filled, and the last known one at the latest."""
    return min([extent.steps[-1], *(step for _, step in extent.seen)])


def extended(extents: Extents, delta: Extents, *, overlap_s: float) -> Extents:
    """Return extents that are open at their end with what a delta tells of them.

    `delta` has the same run and group filter, is open at its end as well, and asks for all names or for one of them.
    """
    return finished(extending(extents, delta, overlap_s=overlap_s))


def extending(extents: Extents, delta: Extents, *, overlap_s: float) -> Work[Extents]:
    """Do what `extended` does, a name at a time."""
    question, sent_at_s = delta.question, delta.tail_asked_s
    by_name = dict(extents.by_name)
    told = {*by_name, *delta.by_name} if question.name is None else {question.name}
    for name in told if extents.question.name is None else told & {extents.question.name}:
        old, new = by_name.get(name), delta.by_name.get(name)
        if old is not None:
            by_name[name] = _grown(old, new, question.first, sent_at_s, overlap_s)
        elif new is not None:
            # It may have rows before those that were asked for.
            by_name[name] = not_yet(new, Known.NOT_YET if new.known is Known.ALL else new.known)
        yield None
    if len(by_name) > len(extents.by_name):
        by_name = _in_order(by_name)
    all_names = sent_at_s >= extents.tail_asked_s and question.name in {None, extents.question.name}
    return replace(extents, by_name=by_name, tail_asked_s=sent_at_s if all_names else extents.tail_asked_s)


def continued(known: Extent, end: Extent, first: int, *, overlap_s: float) -> Extent:
    """Return a name with its rows from step `first` on as they were asked for a moment later, in the same shape.

    Both ages stay: what may have come before that step since wasn't looked for.
    """
    kept = bisect_left(known.steps, first)
    return changed(_concatenated(known, end, kept), seen=_seen(known, end, kept, first, overlap_s))


def replaced(extents: Extents, single: Extents) -> Extents:
    """Return the extents of all names with those of one name, asked for in full, in place of what was known of it.

    `single` has the same run and group filter, and a window that holds that of `extents`. What is older than what is known
    changes nothing.
    """
    name = single.question.name or ""
    known = extents.by_name.get(name)
    if (extents.full_asked_s if known is None else known.tail_asked_s) > single.tail_asked_s:
        return extents
    by_name = {**extents.by_name, name: _clipped(single, name, extents.question.first)}
    return replace(extents, by_name=_in_order(by_name))


def differing(before: Extents, after: Extents) -> Work[bool]:
    """Tell whether rows have come, gone or changed between two looks at a window, a name at a time."""
    names = {name for extents in (before, after) for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    for name in names:
        one, other = before.by_name.get(name), after.by_name.get(name)
        if one is None or other is None or not one.agrees(other, _ALL, _ALL):
            return True
        yield None
    return False


def knowing_again(before: Extents, after: Extents, *, overlap_s: float) -> Work[Extents]:
    """Return the later of two looks at a window in full, a name at a time: where nothing of a name changed, its rows haven't
    been new since.
    """
    first = after.question.first
    by_name: dict[str, Extent] = {}
    for name, new in after.by_name.items():
        old = before.by_name.get(name)
        grown = old is not None and _is_grown(old, new)
        by_name[name] = changed(new, seen=_seen(old, new, 0, first, overlap_s)) if old is not None and grown else new
        yield None
    return replace(after, by_name=by_name)


def _is_grown(old: Extent, new: Extent) -> bool:
    known = old.known is Known.ALL and new.known is Known.ALL
    return known and old.tail_asked_s <= new.tail_asked_s and old.shape == new.shape and _holds(new, old, 0)


def narrowed(extents: Extents, question: MetricsQuery) -> Extents:
    """Return what extents that are open at their end tell of a narrower question of the same kind."""
    names = extents.by_name if question.name is None else [question.name]
    clipped = {name: _clipped(extents, name, question.first) for name in names}
    return replace(extents, question=question, by_name=clipped)


def _in_order(by_name: dict[str, Extent]) -> dict[str, Extent]:
    """Return names in the upstream's order: that of their UTF-8 bytes."""
    return dict(sorted(by_name.items(), key=lambda item: item[0].encode()))


def _clipped(single: Extents, name: str, first: int) -> Extent:
    extent = single.by_name.get(name)
    if extent is None:
        return none(single.tail_asked_s)
    begin = bisect_left(extent.steps, first) if extent.known is Known.ALL else 0
    if not begin:
        return extent
    if begin == len(extent.steps):
        return none(single.tail_asked_s)
    groups = None if extent.groups is None else extent.groups[begin:]
    row_bytes = extent.row_bytes - sum(map(len, extent.rows[:begin]))
    return changed(extent, steps=extent.steps[begin:], rows=extent.rows[begin:], row_bytes=row_bytes, groups=groups)


def merged(one: Extents, other: Extents) -> Extents | None:
    """Return two windows of one scope as one; None where they don't touch, or contradict each other where they overlap."""
    left, right = sorted((one, other), key=lambda extents: extents.question.first)
    first, last = left.question, right.question
    if first.last is None or last.first > first.last + 1:
        return None
    if last.last is not None and last.last <= first.last:
        return None  # the left one holds all of the right one
    tail_asked_s, full_asked_s = min(left.tail_asked_s, right.tail_asked_s), min(left.full_asked_s, right.full_asked_s)
    by_name: dict[str, Extent] = {}
    for name in sorted({*_found(left), *_found(right)}, key=str.encode):
        joined = _joined(left.by_name.get(name), right.by_name.get(name), (last.first, first.last))
        if joined is None:
            return None
        by_name[name] = changed(
            joined, tail_asked_s=min(joined.tail_asked_s, tail_asked_s), full_asked_s=min(joined.full_asked_s, full_asked_s)
        )
    return Extents(
        question=replace(first, last=last.last), by_name=by_name, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s
    )


def _found(extents: Extents) -> list[str]:
    return [name for name, extent in extents.by_name.items() if extent.known is not Known.NONE]


def none(sent_at_s: float) -> Extent:
    """Return what is known of a name that was asked for and has no rows."""
    return Extent(
        steps=NOTHING,
        head=b"",
        rows=(),
        row_bytes=0,
        group="",
        groups=None,
        shape=(),
        known=Known.NONE,
        tail_asked_s=sent_at_s,
        full_asked_s=sent_at_s,
        seen=(),
    )


def _grown(old: Extent, new: Extent | None, first: int, sent_at_s: float, overlap_s: float) -> Extent:
    if sent_at_s < old.tail_asked_s:
        return old  # this answer was overtaken by a newer one
    if old.known is Known.NONE and new is not None:
        return not_yet(new)
    if old.known is not Known.ALL:
        return old
    if first > overlap_from(old):
        # It was meant for others; but who asks for a group of which this name had nothing counts on what is said here.
        return not_yet(old) if new is not None and not set(_groups_of(new)) <= set(_groups_of(old)) else old
    kept = bisect_left(old.steps, first)
    if new is None:
        return not_yet(old)
    if new.known is not Known.ALL:
        return not_yet(old, new.known)  # nor would all of it prove to be complete
    if new.shape != old.shape or not _holds(new, old, kept) or _is_sparse(old.steps[kept:], new.steps):
        return not_yet(old)
    return changed(_concatenated(old, new, kept), tail_asked_s=sent_at_s, seen=_seen(old, new, kept, first, overlap_s))


def _seen(old: Extent, new: Extent, kept: int, first: int, overlap_s: float) -> tuple[tuple[float, int], ...]:
    """Return where gaps may still be filled among known rows and newer ones that hold them from number `kept` on."""
    sent_at_s = new.tail_asked_s
    recent = tuple(mark for mark in old.seen if mark[0] > sent_at_s - overlap_s)
    rest = old.steps[kept:]
    if new.steps[: len(rest)] == rest:
        # All that is new comes behind what is known, as nearly always.
        number = len(rest) if len(new.steps) > len(rest) else None
    else:
        known = set(rest)
        number = next((number for number, step in enumerate(new.steps) if step not in known), None)
    return recent if number is None else (*recent, (sent_at_s, new.steps[number - 1] + 1 if number else first))


def _holds(new: Extent, old: Extent, kept: int) -> bool:
    """Tell whether the newer rows hold every one of the older ones from number `kept` on, unchanged."""
    if old.agrees(new, slice(kept, None), slice(0, len(old.rows) - kept)):
        return True
    return set(old.texts(kept)) <= set(new.texts())


def _is_sparse(known: "array[int]", steps: "array[int]") -> bool:
    """Tell whether rows lie between all that were known, as where these were only some: late ones hardly fill every gap.

    The last gap is no part of that, since the last row of a sampled name comes in addition.
    """
    places = [bisect_left(steps, step) for step in known[:-1]]
    return len(known) >= _LEAST_KNOWN and all(after - before > 1 for before, after in pairwise(places))


def _concatenated(old: Extent, new: Extent, kept: int) -> Extent:
    """Return the first `kept` rows of one extent and all of another one behind them."""
    alike = old.groups is None and new.groups is None and old.group == new.group
    if old.head == new.head:
        head, rows = old.head, old.rows[:kept] + new.rows
        row_bytes = old.row_bytes - sum(map(len, old.rows[kept:])) + new.row_bytes
    else:
        head, rows = b"", (*old.texts(0, kept), *new.texts())
        row_bytes = sum(map(len, rows))
    return changed(
        old,
        steps=old.steps[:kept] + new.steps,
        head=head,
        rows=rows,
        row_bytes=row_bytes,
        groups=None if alike else _groups(old)[:kept] + _groups(new),
    )


def _groups(extent: Extent) -> tuple[str, ...]:
    return (extent.group,) * len(extent.rows) if extent.groups is None else extent.groups


def _groups_of(extent: Extent) -> tuple[str, ...]:
    return (extent.group,) if extent.groups is None else extent.groups


def _joined(left: Extent | None, right: Extent | None, overlap: tuple[int, int]) -> Extent | None:
    """Return a name's rows of two windows as one; None where they contradict each other within the `overlap` (both ends in)."""
    sides = [side for side in (left, right) if side is not None and side.known is not Known.NONE]
    if any(side.known is not Known.ALL for side in sides):
        known = {side.known for side in sides}
        return not_yet(sides[0], next(one for one in (Known.NOT_YET, Known.UNCLEAR, Known.SOME) if one in known))
    if len(sides) == 1:
        first, last = window_of(sides[0].steps, *overlap)
        return sides[0] if first == last else None
    one, other = sides
    first, last = window_of(one.steps, *overlap)
    begin, end = window_of(other.steps, *overlap)
    if one.shape != other.shape or not one.agrees(other, slice(first, last), slice(begin, end)):
        return None
    # Where rows of the right window have settled, those before them have too.
    settled = all(step > overlap[0] for _, step in other.seen)
    return changed(
        _concatenated(one, other, first),
        seen=other.seen if settled else (*one.seen, *other.seen),
        tail_asked_s=min(one.tail_asked_s, other.tail_asked_s),
        full_asked_s=min(one.full_asked_s, other.full_asked_s),
    )


def not_yet(extent: Extent, known: Known = Known.NOT_YET) -> Extent:
    """Return a name without its rows: they are still to be asked for, unless `known` says otherwise."""
    return changed(extent, steps=NOTHING, rows=(), row_bytes=0, groups=None, known=known)
