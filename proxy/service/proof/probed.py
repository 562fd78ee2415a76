"""What an answer's probes prove of it. `core.proof.probes` says why; `service.proof.proving` asks the probes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from proxy.core.pieces import Work
from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.proof.probes import probe_limits, proven_lengths, proven_names
from proxy.core.series.answers import partitions
from proxy.core.series.extents import Extent, Extents, Known, without_rows
from proxy.core.series.long_rows import place_of

# More rows may have come since than is thought.
_ROOM_ROWS = 200
Said = tuple[int, dict[str, list[bytes]]]
"""A probe's limit, and the rows of its answer by name."""


def limits_for(extents: Extents) -> Sequence[int]:
    """Return the limits to probe an answer with."""
    lengths = [len(extent.rows) for extent in extents.complete.values()]
    # Where only the names can be proven, the first and last row of each will do.
    return probe_limits(lengths) or [1]


def by_name_in(body: bytes) -> Work[dict[str, list[bytes]]]:
    """Return the rows of an answer by name. Raises ValueError where it isn't laid out as the upstream's are."""
    by_name: dict[str, list[bytes]] = {}
    for one in partitions(body):
        if one is not None:
            by_name[one.name] = one.texts
        yield None
    return by_name


def proven_of(extents: Extents, said: Sequence[Said]) -> Extents | None:
    """Return an answer as its probes prove it, None where they contradict it. Names beyond them count as not known yet."""
    proven: set[str] = set()
    provable: set[int] = set()
    complete = {name: len(extent.rows) for name, extent in extents.complete.items()}
    for limit, rows in said:
        if rows.keys() != extents.by_name.keys():
            return None
        proven |= proven_names(extents, limit, rows)
        provable |= proven_lengths(complete.values(), limit)
    return None if any(rows in provable and name not in proven for name, rows in complete.items()) else only(extents, proven)


def begun_of(extents: Extents, said: Sequence[Said]) -> set[str] | None:
    """Return the names that probes prove, None unless every probe shows the answer's names and the first row of each."""
    proven: set[str] = set()
    for limit, rows in said:
        begun = (not extent.rows or extent.texts(0, 1) == rows.get(name, [])[:1] for name, extent in extents.by_name.items())
        if rows.keys() != extents.by_name.keys() or not all(begun):
            return None
        proven |= proven_names(extents, limit, rows)
    return proven


def only(extents: Extents, proven: Collection[str]) -> Extents:
    """Return an answer of which only the `proven` names are known. The others are to be asked for."""
    return replace(
        extents,
        by_name={
            name: extent if name in proven or extent.known is not Known.ALL else without_rows(extent)
            for name, extent in extents.by_name.items()
        },
    )


def shows_more(extents: Extents, said: Sequence[Said]) -> bool:
    """Tell whether probes show rows between those of an answer that it doesn't have: it is a sample, or rows came between."""
    return any(
        not set(rows.get(name, [])[:-1]) <= set(extent.texts()) for _, rows in said for name, extent in extents.complete.items()
    )


def end_of(extents: Extents, names: Iterable[Extent]) -> int | None:
    """Return a step from which on the last rows of names lie, but less than half of all rows; None where there is none.

    It is the earliest such step, so that the last rows of as many of these names as possible lie behind it.
    """
    every = [extent.steps for extent in extents.by_name.values()]
    rows = sum(map(len, every))
    firsts = sorted({extent.steps[max(0, len(extent.steps) - PROVING_ROWS)] for extent in names})
    return next((first for first in firsts if 2 * sum(len(steps) - place_of(steps, first) for steps in every) < rows), None)


def end_limit(names: Iterable[Extent], first: int) -> int:
    """Return a limit with which the rows of some names from step `first` on come whole, and those that came meanwhile."""
    rows = max(len(extent.steps) - place_of(extent.steps, first) for extent in names)
    return 2 * rows + _ROOM_ROWS


def short_names(extents: Extents, proven: Collection[str]) -> set[str]:
    """Return the names that are whole because others are that have at least twice as many rows.

    The upstream sent all rows of those, so that it did not sample shorter names either.
    """
    complete = extents.complete
    most = max((len(complete[name].rows) for name in proven), default=0)
    return {name for name, extent in complete.items() if 2 * len(extent.rows) <= most}


def is_followed(known: Extent, end: Extent | None, first: int) -> bool:
    """Tell whether `end`, asked for from step `first` on, begins with all rows that are known from there.

    There must be `PROVING_ROWS` of them at least, or they must be all that are known.
    """
    begin = place_of(known.steps, first)
    count = len(known.steps) - begin
    enough = count >= PROVING_ROWS or not begin
    if end is None or end.known is not Known.ALL or end.shape != known.shape or not enough:
        return False
    return known.agrees(end, slice(begin, None), slice(0, count))
