"""What a look at a stretch of a long series tells: rows that have changed since, and the age of all others."""

from dataclasses import replace
from typing import NamedTuple

from msgspec.structs import replace as changed

from proxy.core.pieces import Work
from proxy.core.series.extents import Extent, Extents, Known, looks_at, window_of, with_looks, with_rows_between, without_rows
from proxy.core.series.growth import goes_with, unsettled_after
from proxy.core.series.long_rows import comparing
from proxy.core.series.looks import looked_at


class Rechecked(NamedTuple):
    """A series after a look at a stretch of it. `changed`: whether known rows have changed or gone, or others come between."""

    extents: Extents
    changed: bool


def rechecking(extents: Extents, came: Extents, *, overlap_s: float, again_s: float = 0.0) -> Work[Rechecked]:
    """Return the extents of a single name with what an answer tells of a stretch of its steps, with breaks.

    The stretch's rows take the place of those that were known. One without a last step brings the tail up to date, too.
    `again_s`: a stretch in which something had changed counts as asked for so many seconds earlier, so that it is looked at
    again soon. Of an answer that is older than the tail no rows are taken: a delta may have brought newer ones. It only shows
    how old those are that it has, too. Nothing is taken from one that isn't known to be whole.
    """
    question, name = came.question, came.question.name or ""
    old, new = extents.by_name[name], came.by_name.get(name)
    is_older = came.tail_asked_s < old.tail_asked_s
    if old.known is not Known.ALL or (is_older and (new is None or new.known is not Known.ALL or not goes_with(new, old))):
        return Rechecked(extents, changed=False)
    if new is not None and (new.known is not Known.ALL or not goes_with(new, old)):
        by_name = {name: without_rows(old, Known.NOT_YET if new.known is Known.ALL else new.known)}
        return Rechecked(replace(extents, by_name=by_name), changed=True)
    begin, end = window_of(old.steps, question.first, question.last)
    same = yield from _begins_with(new, old, begin, end)
    grown = same and new is not None and len(new.rows) > end - begin
    if is_older and (grown or not same):
        return Rechecked(extents, changed=False)
    changed_there = not same or (grown and question.last is not None)
    extent = with_rows_between(old, new, begin, end) if grown or not same else old
    if not len(extent.rows):
        return Rechecked(replace(extents, by_name={name: without_rows(old)}), changed=True)
    at_s = came.full_asked_s - again_s if changed_there else came.full_asked_s
    looks = looked_at(looks_at(old, extents.question.first), question.first, question.last, at_s)
    if question.last is None and not is_older:
        marks = extent.unsettled if new is None else unsettled_after(old, new, begin, question.first, overlap_s)
        extent = changed(extent, tail_asked_s=came.tail_asked_s, unsettled=marks)
    extent = with_looks(extent, looks)
    known = replace(extents, by_name={name: extent}, tail_asked_s=extent.tail_asked_s, full_asked_s=extent.full_asked_s)
    return Rechecked(known, changed=changed_there)


def _begins_with(new: Extent | None, old: Extent, begin: int, end: int) -> Work[bool]:
    """Tell whether an extent begins with rows `begin` to `end`, exclusive, of another; None has no rows."""
    if new is None or len(new.rows) < end - begin:
        return begin == end
    return new.head == old.head and (yield from comparing(old.rows, new.rows[: end - begin], begin))
