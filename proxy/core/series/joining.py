"""Extents that are put together or narrowed: one name among the others, two windows as one, a part of a window.

As in `core.series.growth` nothing is put together that contradicts itself: where two windows overlap, both must hold the same
rows in the same shape.
"""

from dataclasses import replace

from msgspec.structs import replace as changed

from proxy.core.series.extents import (
    Extent,
    Extents,
    Known,
    concatenated,
    cut,
    in_order,
    looks_at,
    no_rows,
    window_of,
    with_looks,
    without_rows,
)
from proxy.core.series.long_rows import place_of
from proxy.core.series.looks import Looks, joined_looks
from proxy.core.series.metrics_query import MetricsQuery


def replaced(extents: Extents, single: Extents) -> Extents:
    """Return the extents of all names, with what `single` tells of its one name in place of what was known of it.

    `single` is about the same run and group, and its window holds that of `extents`. If it is older than what is known, nothing
    changes.
    """
    name = single.question.name or ""
    known = extents.by_name.get(name)
    if (extents.full_asked_s if known is None else known.tail_asked_s) > single.tail_asked_s:
        return extents
    by_name = {**extents.by_name, name: _clipped(single, name, extents.question.first)}
    return replace(extents, by_name=in_order(by_name))


def narrowed(extents: Extents, question: MetricsQuery) -> Extents:
    """Return what extents without a last step tell of a narrower question that has no last step either."""
    names = extents.by_name if question.name is None else [question.name]
    clipped = {name: _clipped(extents, name, question.first) for name in names}
    return replace(extents, question=question, by_name=clipped)


def merged(one: Extents, other: Extents) -> Extents | None:
    """Return two windows of one selection as one; None where they don't touch, or contradict each other where they overlap."""
    left, right = sorted((one, other), key=lambda extents: extents.question.first)
    first, last = left.question, right.question
    if first.last is None or last.first > first.last + 1:
        return None
    if last.last is not None and last.last <= first.last:
        return None  # the left one holds all of the right one
    tail_asked_s, full_asked_s = min(left.tail_asked_s, right.tail_asked_s), min(left.full_asked_s, right.full_asked_s)
    by_name: dict[str, Extent] = {}
    for name in sorted({*_names_with_rows(left), *_names_with_rows(right)}, key=str.encode):
        joined = _joined(left.by_name.get(name), right.by_name.get(name), (last.first, first.last))
        if joined is None:
            return None
        looks = joined_looks(_looks_in(left, name), _looks_in(right, name), first.last + 1)
        by_name[name] = with_looks(changed(joined, tail_asked_s=min(joined.tail_asked_s, tail_asked_s)), looks)
    return Extents(
        question=replace(first, last=last.last), by_name=by_name, tail_asked_s=tail_asked_s, full_asked_s=full_asked_s
    )


def _looks_in(extents: Extents, name: str) -> Looks:
    """Return the ages of a name's stretches in a window. In one of all names none is younger than what is known of these."""
    extent = extents.by_name.get(name)
    looks = ((extents.question.first, extents.full_asked_s),) if extent is None else looks_at(extent, extents.question.first)
    if extents.question.name is not None:
        return looks
    return tuple((step, min(at_s, extents.full_asked_s)) for step, at_s in looks)


def _names_with_rows(extents: Extents) -> list[str]:
    return [name for name, extent in extents.by_name.items() if extent.known is not Known.NONE]


def _joined(left: Extent | None, right: Extent | None, overlap: tuple[int, int]) -> Extent | None:
    """Return one name's extent over two windows; None where they contradict each other in the `overlap` (inclusive steps)."""
    sides = [side for side in (left, right) if side is not None and side.known is not Known.NONE]
    if any(side.known is not Known.ALL for side in sides):
        known = {side.known for side in sides}
        return without_rows(sides[0], next(one for one in (Known.NOT_YET, Known.UNCLEAR, Known.SOME) if one in known))
    if len(sides) == 1:
        first, last = window_of(sides[0].steps, *overlap)
        return sides[0] if first == last else None
    one, other = sides
    first, last = window_of(one.steps, *overlap)
    begin, end = window_of(other.steps, *overlap)
    if one.shape != other.shape or not one.agrees(other, slice(first, last), slice(begin, end)):
        return None
    # Where the right window's rows in the overlap have settled, those before them have, too.
    settled = all(step > overlap[0] for _, step in other.unsettled)
    return changed(
        concatenated(one, other, first),
        unsettled=other.unsettled if settled else (*one.unsettled, *other.unsettled),
        tail_asked_s=min(one.tail_asked_s, other.tail_asked_s),
    )


def _clipped(single: Extents, name: str, first: int) -> Extent:
    """Return what extents tell of a name's rows from step `first` on."""
    extent = single.by_name.get(name)
    if extent is None:
        return no_rows(single.tail_asked_s)
    begin = place_of(extent.steps, first) if extent.known is Known.ALL else 0
    if not begin:
        return extent
    if begin == len(extent.steps):
        return no_rows(single.tail_asked_s)
    return cut(extent, begin)
