"""What later answers add to extents. A **delta** is an answer from some step on, which brings the rows that are new.

Two answers are of two moments, and what is put together of them may never have been true as a whole. The promise allows that
(docs/explanation/series.md, "What is promised"): every row was so at some moment that is no longer ago than the ages say. But
no extent may contradict itself. So a delta must hold every known row from its first step on, unchanged and in the same shape,
and be proven complete. A name of which that isn't true counts as `Known.NOT_YET` until it was asked for in full. One
exception: rows that were written again are taken over as they came, where the first known ones are unchanged. What was written
again then lies behind these, as far as one can tell: if it reached further back, more is to be asked for. A delta with a small
limit holds some names as samples. It tells nothing of them.
"""

import math
from array import array
from dataclasses import replace
from itertools import pairwise

from msgspec.structs import replace as changed

from proxy.core.pieces import Work, finished
from proxy.core.series.extents import (
    Extent,
    Extents,
    Known,
    concatenated,
    in_order,
    no_rows,
    row_groups,
    without_rows,
)
from proxy.core.series.long_rows import LongRows, Steps, comparing, place_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import is_complete

# Of fewer known rows it cannot be told whether they were all rows or a sample.
_LEAST_KNOWN = 4
# So many rows are compared without a break: putting them together from chunks takes about 0.5 ms.
_AT_ONCE = 256
# So many known rows must have come unchanged before others are taken to have been written again.
_LEAST_UNCHANGED = 3


def overlap_from(extent: Extent) -> int:
    """Return the first step that a delta must ask for: where rows may still be missing, at the latest the last known step."""
    return min([extent.steps[-1], *(step for _, step in extent.unsettled)])


def extended(extents: Extents, delta: Extents, *, overlap_s: float) -> Extents:
    """Return extents without a last step, with what a delta adds to them.

    `delta` is about the same run and group, has no last step either, and asks for all names or for one of them. If it begins
    where the extents do, it tells all of the names that it doesn't hold as samples. `overlap_s`: for how many seconds after a
    row came others may still come before it.
    """
    return finished(extending(extents, delta, overlap_s=overlap_s))


def extending(extents: Extents, delta: Extents, *, overlap_s: float) -> Work[Extents]:
    """Do the work of `extended`, with a break after each name."""
    question, sent_at_s = delta.question, delta.tail_asked_s
    by_name = dict(extents.by_name)
    told = {*by_name, *delta.by_name} if question.name is None else {question.name}
    for name in told if extents.question.name is None else told & {extents.question.name}:
        old, new = by_name.get(name), delta.by_name.get(name)
        sampled = new is not None and _is_sample(new, question)
        if old is not None and not sampled and tells_nothing(old, new, question):
            continue
        if question.first <= extents.question.first and not sampled:
            by_name[name] = _anew(old, new, question.first, sent_at_s, overlap_s)
        elif old is not None:
            by_name[name] = _with_delta(old, new, question, sent_at_s, overlap_s)
        elif new is not None:
            # The name may have rows before those that the delta asked for.
            by_name[name] = without_rows(new, Known.NOT_YET if sampled or new.known is Known.ALL else new.known)
        yield None
    if len(by_name) > len(extents.by_name):
        by_name = in_order(by_name)
    if question.name not in {None, extents.question.name}:
        return replace(extents, by_name=by_name)
    full_asked_s = sent_at_s if question.first <= extents.question.first else -math.inf
    return replace(
        extents,
        by_name=by_name,
        tail_asked_s=max(sent_at_s, extents.tail_asked_s),
        full_asked_s=max(full_asked_s, extents.full_asked_s),
    )


def continued(known: Extent, end: Extent, first: int, *, overlap_s: float) -> Extent:
    """Return an extent whose rows from step `first` on are those of `end`, which was asked for a moment later.

    `end` has the same shape. Both ages stay, since nobody looked for rows that came meanwhile before that step.
    """
    kept = place_of(known.steps, first)
    return changed(concatenated(known, end, kept), unsettled=unsettled_after(known, end, kept, first, overlap_s))


def differing(before: Extents, after: Extents) -> Work[bool]:
    """Tell whether rows came, went or changed between two answers about a window, with a break after each name."""
    names = {name for extents in (before, after) for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    for name in names:
        one, other = before.by_name.get(name), after.by_name.get(name)
        if one is None or other is None or not (yield from _agreeing(one, other)):
            return True
        yield None
    return False


def _agreeing(one: Extent, other: Extent) -> Work[bool]:
    """Tell whether two extents have the same rows."""
    if len(one.rows) != len(other.rows):
        return False
    if one.head != other.head:
        return one.texts() == other.texts()
    return (yield from comparing(one.rows, other.rows))


def keeping_settled(before: Extents, after: Extents, *, overlap_s: float) -> Work[Extents]:
    """Return the later of two answers about a window in full, in which rows that the earlier one held unchanged stay settled.

    There is a break after each name.
    """
    first = after.question.first
    by_name: dict[str, Extent] = {}
    for name, new in after.by_name.items():
        old = before.by_name.get(name)
        by_name[name] = _keeping_settled(old, new, first, overlap_s)
        yield None
    return replace(after, by_name=by_name)


def _keeping_settled(old: Extent | None, new: Extent, first: int, overlap_s: float) -> Extent:
    if old is None or not _only_grew(old, new):
        return new
    return changed(new, unsettled=unsettled_after(old, new, 0, first, overlap_s))


def _only_grew(old: Extent, new: Extent) -> bool:
    known = old.known is Known.ALL and new.known is Known.ALL
    return known and old.tail_asked_s <= new.tail_asked_s and old.shape == new.shape and _holds(new, old, 0)


def _is_sample(extent: Extent, question: MetricsQuery) -> bool:
    """Tell whether a name's rows are a sample only because the question's limit is small."""
    return extent.known is Known.SOME and question != question.densest


def _anew(old: Extent | None, new: Extent | None, first: int, sent_at_s: float, overlap_s: float) -> Extent:
    """Return a name's extent after an answer that told all of it, sent at a wall time; None: no rows, or nothing known."""
    if old is not None and sent_at_s < old.tail_asked_s:
        return old  # a newer answer came before this one
    if new is None:
        return no_rows(sent_at_s)
    return _keeping_settled(old, new, first, overlap_s)


def _with_delta(old: Extent, new: Extent | None, question: MetricsQuery, sent_at_s: float, overlap_s: float) -> Extent:
    """Return a name's extent with what a delta, sent at a wall time, tells of it; None: no rows."""
    first = question.first
    if sent_at_s < old.tail_asked_s:
        return old  # a newer answer came before this one
    if old.known is Known.NONE and new is not None:
        return without_rows(new)
    if old.known is not Known.ALL:
        return old
    if first > overlap_from(old) or (new is not None and _is_sample(new, question)):
        # The delta was asked for other names. But it may show that the name has rows in a group in which it had none.
        return without_rows(old) if new is not None and not set(_group_names(new)) <= set(_group_names(old)) else old
    kept = place_of(old.steps, first)
    if new is None:
        return without_rows(old)
    if new.known is not Known.ALL:
        return without_rows(old, new.known)  # an answer with all of its rows would not be complete either
    fits = _holds(new, old, kept) or _is_written_again(new, old, kept)
    if not goes_with(new, old) or not fits or _is_sparse(old.steps[kept:], new.steps):
        return without_rows(old)
    return changed(
        concatenated(old, new, kept), tail_asked_s=sent_at_s, unsettled=unsettled_after(old, new, kept, first, overlap_s)
    )


def tells_nothing(old: Extent, new: Extent | None, question: MetricsQuery) -> bool:
    """Tell whether a delta for all names has only a sample of a long series, whose own delta brings what is new of it."""
    is_long = old.known is Known.ALL and not is_complete(len(old.steps), question.limit)
    return (
        question.name is None
        and is_long
        and new is not None
        and new.known is Known.SOME
        and question.first <= overlap_from(old)
    )


def unsettled_after(old: Extent, new: Extent, kept: int, first: int, overlap_s: float) -> tuple[tuple[float, int], ...]:
    """Return the marks of an extent that consists of the first `kept` rows of `old` and all rows of `new`: see Extent."""
    sent_at_s = new.tail_asked_s
    recent = tuple(mark for mark in old.unsettled if mark[0] > sent_at_s - overlap_s)
    rest = old.steps[kept:]
    if new.steps[: len(rest)] == rest:
        # All new rows come after the known ones, as nearly always.
        number = len(rest) if len(new.steps) > len(rest) else None
    else:
        known = set(rest)
        number = next((number for number, step in enumerate(new.steps) if step not in known), None)
    return recent if number is None else (*recent, (sent_at_s, new.steps[number - 1] + 1 if number else first))


def _holds(new: Extent, old: Extent, kept: int) -> bool:
    """Tell whether `new` holds every row of `old` from number `kept` on, unchanged."""
    if len(new.rows) < len(old.rows) - kept:
        return False  # no two rows are the same
    if old.agrees(new, slice(kept, None), slice(0, len(old.rows) - kept)):
        return True
    return set(old.texts(kept)) <= set(new.texts())


def _is_written_again(new: Extent, old: Extent, kept: int) -> bool:
    """Tell whether `new` holds all known rows from number `kept` on, some of them written again behind unchanged ones."""
    unchanged = old.agrees(new, slice(kept, kept + _LEAST_UNCHANGED), slice(0, _LEAST_UNCHANGED))
    if not unchanged or len(old.rows) < kept + _LEAST_UNCHANGED:
        return False
    if new.groups is None and old.groups is None and new.group == old.group:
        return set(new.steps).issuperset(old.steps[kept:])
    came = set(zip(new.steps, row_groups(new), strict=True))
    return came.issuperset(zip(old.steps[kept:], row_groups(old)[kept:], strict=True))


def goes_with(new: Extent, old: Extent) -> bool:
    """Tell whether rows can be added to those that are known: they are of the same shape, and of one group in chunks."""
    return new.shape == old.shape and (new.head == old.head or not isinstance(old.rows, LongRows))


def _is_sparse(known: "array[int]", steps: Steps) -> bool:
    """Tell whether other rows lie between all known ones, so that these probably were a sample: late rows hardly fill each gap.

    The last gap doesn't count, since the last row of a sampled name comes in addition.
    """
    places = [place_of(steps, step) for step in known[:-1]]
    return len(known) >= _LEAST_KNOWN and all(after - before > 1 for before, after in pairwise(places))


def _group_names(extent: Extent) -> tuple[str, ...]:
    return (extent.group,) if extent.groups is None else extent.groups
