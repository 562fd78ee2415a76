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
from proxy.core.series.extents import Extent, Extents, Known, concatenated, in_order, without_rows

_ALL = slice(0, None)
# Fewer known rows say nothing about whether they are all.
_LEAST_KNOWN = 4


def overlap_from(extent: Extent) -> int:
    """Return the step from which on a delta must ask: where gaps may still be filled, and the last known one at the latest."""
    return min([extent.steps[-1], *(step for _, step in extent.unsettled)])


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
            by_name[name] = _with_delta(old, new, question.first, sent_at_s, overlap_s)
        elif new is not None:
            # It may have rows before those that were asked for.
            by_name[name] = without_rows(new, Known.NOT_YET if new.known is Known.ALL else new.known)
        yield None
    if len(by_name) > len(extents.by_name):
        by_name = in_order(by_name)
    all_names = sent_at_s >= extents.tail_asked_s and question.name in {None, extents.question.name}
    return replace(extents, by_name=by_name, tail_asked_s=sent_at_s if all_names else extents.tail_asked_s)


def continued(known: Extent, end: Extent, first: int, *, overlap_s: float) -> Extent:
    """Return a name with its rows from step `first` on as they were asked for a moment later, in the same shape.

    Both ages stay: what may have come before that step since wasn't looked for.
    """
    kept = bisect_left(known.steps, first)
    return changed(concatenated(known, end, kept), unsettled=_unsettled(known, end, kept, first, overlap_s))


def differing(before: Extents, after: Extents) -> Work[bool]:
    """Tell whether rows have come, gone or changed between two looks at a window, a name at a time."""
    names = {name for extents in (before, after) for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    for name in names:
        one, other = before.by_name.get(name), after.by_name.get(name)
        if one is None or other is None or not one.agrees(other, _ALL, _ALL):
            return True
        yield None
    return False


def keeping_settled(before: Extents, after: Extents, *, overlap_s: float) -> Work[Extents]:
    """Return the later of two looks at a window in full, a name at a time: where nothing of a name changed, its rows haven't
    been new since.
    """
    first = after.question.first
    by_name: dict[str, Extent] = {}
    for name, new in after.by_name.items():
        old = before.by_name.get(name)
        grown = old is not None and _only_grew(old, new)
        by_name[name] = changed(new, unsettled=_unsettled(old, new, 0, first, overlap_s)) if old is not None and grown else new
        yield None
    return replace(after, by_name=by_name)


def _only_grew(old: Extent, new: Extent) -> bool:
    known = old.known is Known.ALL and new.known is Known.ALL
    return known and old.tail_asked_s <= new.tail_asked_s and old.shape == new.shape and _holds(new, old, 0)


def _with_delta(old: Extent, new: Extent | None, first: int, sent_at_s: float, overlap_s: float) -> Extent:
    if sent_at_s < old.tail_asked_s:
        return old  # this answer was overtaken by a newer one
    if old.known is Known.NONE and new is not None:
        return without_rows(new)
    if old.known is not Known.ALL:
        return old
    if first > overlap_from(old):
        # It was meant for others; but who asks for a group of which this name had nothing counts on what is said here.
        return without_rows(old) if new is not None and not set(_group_names(new)) <= set(_group_names(old)) else old
    kept = bisect_left(old.steps, first)
    if new is None:
        return without_rows(old)
    if new.known is not Known.ALL:
        return without_rows(old, new.known)  # nor would all of it prove to be complete
    if new.shape != old.shape or not _holds(new, old, kept) or _is_sparse(old.steps[kept:], new.steps):
        return without_rows(old)
    return changed(concatenated(old, new, kept), tail_asked_s=sent_at_s, unsettled=_unsettled(old, new, kept, first, overlap_s))


def _unsettled(old: Extent, new: Extent, kept: int, first: int, overlap_s: float) -> tuple[tuple[float, int], ...]:
    """Return where gaps may still be filled among known rows and newer ones that hold them from number `kept` on."""
    sent_at_s = new.tail_asked_s
    recent = tuple(mark for mark in old.unsettled if mark[0] > sent_at_s - overlap_s)
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


def _group_names(extent: Extent) -> tuple[str, ...]:
    return (extent.group,) if extent.groups is None else extent.groups
