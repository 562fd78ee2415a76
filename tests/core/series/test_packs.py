"""How extents are kept: what is read is what was written, and growing costs what is new."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as with_

from proxy.core.freshness.entry import digest_of
from proxy.core.series.answers import partitions, split
from proxy.core.series.chunks import read_chunk
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import chunks_of
from proxy.core.series.extents import Extent, Extents, Known, no_rows
from proxy.core.series.growth import extended, overlap_from
from proxy.core.series.heads import digests_of
from proxy.core.series.joining import replaced
from proxy.core.series.long_rows import LongRows
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.packs import Pack, Written, head_of, written
from proxy.core.series.unpacking import read
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

NAMES = ("a", "b", "\u00e9\n", "\U0001f600")
WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
OVERLAP_S = 60.0


def told(rows: Iterable[OracleRow], question: MetricsQuery = WHOLE, *, sent_at_s: float = 1000) -> Extents:
    """Return what one answer of the upstream tells."""
    body = next(permitted(rows, asked_of(question.query.values)))
    return split(body, question, sent_at_s=sent_at_s, overlap_s=0)


def comparable(extents: Extents) -> object:
    """Return everything of extents that has to be kept: of a name that isn't known in full only that."""
    return (
        extents.question,
        extents.tail_asked_s,
        extents.full_asked_s,
        [(name, _of(one)) for name, one in extents.by_name.items()],
    )


def _of(extent: Extent) -> object:
    known = (extent.known, extent.tail_asked_s, extent.full_asked_s)
    if extent.known is not Known.ALL:
        return known
    groups = extent.groups or (extent.group,) * len(extent.rows)
    assert isinstance(extent.rows, LongRows) or extent.row_bytes == sum(map(len, extent.rows))
    return (*known, list(extent.steps), extent.texts(), groups, extent.shape)


class Disk:
    """What a store has of one scope, with how many bytes were written to it."""

    def __init__(self) -> None:
        self.packs: dict[str, bytes] = {}
        self.written: Written | None = None
        self.head = b""
        self.spent_bytes = 0

    def put(self, extents: Extents) -> None:
        """Write extents, and let go of the packs that are of no use any more."""
        self.written, new = written(extents, self.written)
        self.head = head_of([self.written])
        self.spent_bytes += len(self.head)
        for digest, body in new.items():
            assert digest == digest_of(body)
            self.packs[digest] = body
            self.spent_bytes += len(body)
        assert set(digests_of(self.head)) == self.written.digests
        self.packs = {digest: self.packs[digest] for digest in digests_of(self.head)}

    def read(self) -> Written:
        (window,) = read(self.head, self.packs, WHOLE, overlap_s=OVERLAP_S)
        return window

    def rows(self) -> Counter[bytes]:
        assert self.written is not None
        packs = [self.packs[pack.digest] for pack in self.written.packs]
        named = [one for body in packs for one in partitions(body) if one is not None]
        rows = Counter(text for one in named for text in one.texts)
        for name, extent in self.written.extents.by_name.items():
            chunks = [read_chunk(self.packs[chunk.digest]) for chunk in chunks_of([extent])]
            rows.update(self.written.extents.by_name[name].head + text for one in chunks for text in one.texts(0, one.count))
        return rows


def test_the_order_of_names() -> None:
    """It is that of their UTF-8 bytes, though a name came later or isn't known in full; by UTF-16 the last would come first."""
    names = ["a", "\uffee", "\U0001f600"]
    disk = Disk()
    known = told([row(name, step) for name in names[1:] for step in range(3)])
    disk.put(known)
    disk.put(replace(known, by_name={"a": with_(no_rows(1000.0), known=Known.SOME), **known.by_name}))
    assert list(disk.read().extents.by_name) == names
    disk.put(told([row(name, step) for name in names for step in range(3)]))
    assert list(disk.read().extents.by_name) == names


@st.composite
def changed(draw: st.DrawFn, extents: Extents, rows: dict[tuple[str, int], OracleRow], sent_at_s: float) -> Extents:
    """Draw what may become of extents: growth at the end or in between, of all names or one, a name in full, a loss."""
    name = draw(st.sampled_from(NAMES))
    what = draw(st.sampled_from(["append", "append", "late", "again", "single", "whole", "lost", "windowed"]))
    last = max((step for other, step in rows if other == name), default=-1)
    known = [overlap_from(extent) for extent in extents.by_name.values() if extent.rows]
    first = draw(st.sampled_from([max(0, last), *known]))
    match what:
        case "append":
            rows.update({(name, last + more): row(name, last + more) for more in range(1, draw(st.integers(2, 12)))})
        case "late":
            group = draw(st.sampled_from(["", "g"]))
            rows.update({(name, step): row(name, step, group=group) for step in draw(st.sets(st.integers(0, 40), max_size=3))})
        case "again":
            rows.update(
                {(name, step): row(name, step, value=sent_at_s) for step in draw(st.sets(st.integers(0, 40), max_size=2))}
            )
        case "single":
            return replaced(extents, told(rows.values(), replace(WHOLE, name=name), sent_at_s=sent_at_s))
        case "whole":
            return told(rows.values(), sent_at_s=sent_at_s)
        case "lost":
            rows.pop((name, last), None)
            lost = with_(
                no_rows(sent_at_s), known=draw(st.sampled_from([Known.NOT_YET, Known.SOME, Known.UNCLEAR, Known.NONE]))
            )
            by_name = {**extents.by_name, name: lost}
            return replace(extents, by_name={one: by_name[one] for one in sorted(by_name, key=str.encode)})
        case "windowed":
            return replace(extents, question=replace(extents.question, last=draw(st.none() | st.integers(50, 99))))
    if extents.question.last is not None:
        return extents
    asked = replace(WHOLE, name=draw(st.sampled_from([None, name])), first=first)
    return extended(extents, told(rows.values(), asked, sent_at_s=sent_at_s), overlap_s=0)


@given(st.data())
def test_what_is_read_is_what_was_written(data: st.DataObject) -> None:
    """Whatever became of extents, and however often they were read again, everything of them is kept, and each row once."""
    disk, rows = Disk(), dict[tuple[str, int], OracleRow]()
    extents = told([])
    for number in range(data.draw(st.integers(1, 12))):
        extents = data.draw(changed(extents, rows, 1000.25 + number))
        if data.draw(st.booleans()):
            extents = compacted(extents, ChunkSizes(rows=data.draw(st.integers(1, 4)), open_rows=data.draw(st.integers(1, 6))))
        disk.put(extents)
        read_again = disk.read()
        assert disk.written is not None
        assert comparable(read_again.extents) == comparable(extents)
        assert read_again.packs == disk.written.packs
        assert disk.rows() == Counter(text for extent in extents.by_name.values() for text in extent.texts())
        if data.draw(st.booleans()):
            disk.written, extents = read_again, read_again.extents


def test_two_windows() -> None:
    """A scope's windows are kept in one head, each with its own packs and ages."""
    questions = [replace(WHOLE, name="a", last=9), replace(WHOLE, name="a", first=20)]
    rows = [row("a", step) for step in range(30)]
    made = [written(told(rows, question, sent_at_s=1000 + number), None) for number, question in enumerate(questions)]
    head = head_of([window for window, _ in made])
    bodies = {digest: body for _, new in made for digest, body in new.items()}
    assert sorted(digests_of(head)) == sorted(bodies)
    windows = read(head, bodies, replace(WHOLE, name="a"), overlap_s=OVERLAP_S)
    assert [comparable(window.extents) for window in windows] == [comparable(window.extents) for window, _ in made]


def test_nothing_is_written_twice() -> None:
    """Extents of which only the ages have changed need a new head only; without rows there are no packs."""
    first, new = written(told([row("a", 1)]), None)
    assert len(new) == 1
    second, new = written(told([row("a", 1)], sent_at_s=1005), first)
    assert (second.packs, new) == (first.packs, {})
    assert head_of([second]) != head_of([first])
    assert written(told([]), None)[1] == {}
    gone, new = written(told([]), first)
    assert (gone.packs, new) == ((), {})


def appended(count: int, *, names: int = 1, first: int = 0, disk: Disk) -> Iterable[Extents]:
    """Yield extents as they are when 10 rows of each name came, so many times."""
    rows = [row(f"n{number}", step) for number in range(names) for step in range(first)]
    extents = told(rows)
    disk.put(extents)
    for turn in range(count):
        begin = first + 10 * turn
        known = [overlap_from(extent) for extent in extents.by_name.values()]
        asked = replace(WHOLE, first=min(known, default=0))
        new = told(
            [row(f"n{number}", step) for number in range(names) for step in range(begin + 10)], asked, sent_at_s=1001 + turn
        )
        extents = extended(extents, new, overlap_s=0) if begin else new
        disk.put(extents)
        yield extents


@pytest.mark.parametrize("names", [1, 4])
def test_growing_costs_what_is_new(names: int) -> None:
    """After n appends there are about log2 n packs, and each row was written about log2 n times."""
    disk = Disk()
    for turn, extents in enumerate(appended(80, names=names, disk=disk), start=1):
        logarithm = (turn + 1).bit_length()
        assert len(disk.packs) <= logarithm + 1
        assert disk.spent_bytes <= (logarithm + 1) * sum(len(one.text) + 1 for one in _rows(extents)) + 1_000 * (turn + 1)


def _rows(extents: Extents) -> list[OracleRow]:
    return [row(name, step) for name, extent in extents.by_name.items() for step in extent.steps]


def test_a_long_series_grows_cheaply() -> None:
    """10 rows more on a series of 5,000 are not the reason to write the 5,000 again."""
    disk, spent = Disk(), list[int]()
    for extents in appended(20, first=5_000, disk=disk):
        spent.append(disk.spent_bytes)
        disk.spent_bytes = 0
        assert comparable(disk.read().extents) == comparable(extents)
    # The first one is that of the whole series.
    assert spent[0] > 500_000
    assert max(spent[1:]) < 50_000
    assert sum(spent[1:]) < 200_000


def settled(extents: Extents) -> Extents:
    """Return extents of which no row came lately."""
    return replace(extents, by_name={name: with_(extent, unsettled=()) for name, extent in extents.by_name.items()})


def test_each_pack_tells_from_where_on_the_next_one_goes() -> None:
    """A row that came late takes the packs behind it along, and leaves those before it."""
    disk = Disk()
    for extents in appended(1, first=1_000, disk=disk):
        kept = list(disk.packs)
        late = extended(
            settled(extents), told([*_rows(extents)[990:], row("n0", 2_000)], replace(WHOLE, first=990)), overlap_s=0
        )
        disk.put(late)
        assert next(iter(disk.packs)) == kept[0]
        again = [*_rows(extents)[:1_005], row("n0", 1_005, value=2)]
        disk.put(told(again))
        assert next(iter(disk.packs)) == kept[0]
        disk.put(told([row("n0", 0, value=2), *again[1:]]))
        assert kept[0] not in disk.packs
        assert disk.read().extents.rows == 1_006


WINDOW: dict[str, Any] = {
    "first": 0,
    "last": None,
    "tail_at_s": 1.0,
    "whole_at_s": 1.0,
    "packs": [],
    "unknown": {},
    "ages": {},
}
HEAD: dict[str, Any] = {"layout": 2, "windows": [WINDOW]}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"not JSON",
        b"\xff",
        b"[]",
        b"{}",
        msgspec.json.encode({**HEAD, "layout": 0}),
        msgspec.json.encode({**HEAD, "layout": 4}),
        msgspec.json.encode({**HEAD, "layout": "2"}),
        msgspec.json.encode({"layout": 2, "elsewhere": []}),
        msgspec.json.encode({**HEAD, "windows": [{**WINDOW, "first": None}]}),
        msgspec.json.encode({**HEAD, "windows": [{**WINDOW, "unknown": {"a": "?"}}]}),
    ],
)
def test_heads_that_cannot_be_read(head: bytes) -> None:
    """Whatever is no head of this layout is not read."""
    assert digests_of(msgspec.json.encode(HEAD)) == []
    with pytest.raises(ValueError, match="head"):
        digests_of(head)
    with pytest.raises(ValueError, match="head"):
        read(head, {}, WHOLE, overlap_s=OVERLAP_S)


def test_a_pack_that_is_not_there() -> None:
    """Extents of which a pack was lost are lost, whichever it was."""
    disk = Disk()
    for _ in appended(1, first=100, disk=disk):
        assert len(disk.packs) == 2
    for digest in disk.packs:
        rest = {other: body for other, body in disk.packs.items() if other != digest}
        with pytest.raises((ValueError, KeyError)):
            read(disk.head, rest, WHOLE, overlap_s=OVERLAP_S)


@pytest.mark.parametrize(
    ("pack", "unknown"),
    [
        (b"", {}),
        (b'{"metrics":[1]}', {}),
        (f'{{"metrics":[{row("a", 2).text},{row("a", 1).text}]}}'.encode(), {}),
        (f'{{"metrics":[{row("a", 1).text},{row("a", 1).text}]}}'.encode(), {}),
        (f'{{"metrics":[{row("a", 1).text},{row("a", 2, more=1).text}]}}'.encode(), {}),
        (f'{{"metrics":[{row("a", 1).text}]}}'.encode(), {"a": "some"}),
    ],
)
def test_packs_that_do_not_fit(pack: bytes, unknown: dict[str, str]) -> None:
    """Packs that hold what no extent can be made of, or rows of a name that the head says isn't known, are not read."""
    head = json.dumps({**HEAD, "windows": [{**WINDOW, "packs": ["x"], "unknown": unknown}]}).encode()
    with pytest.raises(ValueError, match=r"row|steps|packs"):
        read(head, {"x": pack}, WHOLE, overlap_s=OVERLAP_S)


def test_a_pack_says_what_it_is() -> None:
    """A pack is an answer of the upstream: its bytes are its rows as they came, and its key is their digest."""
    rows = [row("a", 1), row("b", 1)]
    window, new = written(told(rows), None)
    ((digest, body),) = new.items()
    assert body == next(permitted(rows, asked_of(WHOLE.query.values)))
    assert window.packs == (Pack(digest=digest, size_bytes=len(body), counts={"a": 1, "b": 1}),)
    assert digest == digest_of(body)


def test_late_rows_are_still_asked_for_after_reading() -> None:
    """What was asked for lately of a name may have gaps as of then, not as of when all names were asked for."""
    disk = Disk()
    known = told([row("a", 1), row("b", 1)])
    new = told([row("a", 1), row("a", 2)], replace(WHOLE, name="a", first=1), sent_at_s=1050)
    disk.put(extended(settled(known), new, overlap_s=OVERLAP_S))
    by_name = disk.read().extents.by_name
    assert max(seen_s for seen_s, _ in by_name["a"].unsettled) == 1050
    assert max(seen_s for seen_s, _ in by_name["b"].unsettled) == 1000
