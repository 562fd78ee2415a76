"""Rows in chunks: whatever they look like, they come out byte for byte, by any number, slice or step."""

from array import array
from bisect import bisect_left
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.pieces import finished
from proxy.core.proof.known_rows import shows_no_gap
from proxy.core.series.answers import split
from proxy.core.series.chunks import ChunkAbsentError, chunk_of, read_chunk
from proxy.core.series.compacting import ChunkSizes, compacted
from proxy.core.series.evicting import absent_of, chunks_of, with_chunks, without_chunks
from proxy.core.series.extents import Extent, Extents, concatenated, cut, window_of
from proxy.core.series.long_rows import LongRows, OpenRows, comparing, place_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import answer
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import asked_of, row

WHOLE = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
steps_drawn = st.lists(st.integers(0, 2**53 - 1) | st.integers(0, 60), min_size=1, max_size=40, unique=True).map(sorted)
# What JSON texts may hold, with what a template or a column must not stumble over.
texts_drawn = st.lists(st.text(st.sampled_from('ab"%\\0,:{} \u00e9'), max_size=8).map(str.encode), min_size=1, max_size=40)


def told(rows: list[OracleRow], sent_at_s: float = 1000) -> Extents:
    """Return what one answer of the upstream tells."""
    return split(next(permitted(rows, asked_of(WHOLE.query.values))), WHOLE, sent_at_s=sent_at_s, overlap_s=0)


@given(texts_drawn, st.data())
def test_any_texts_come_out_again(texts: list[bytes], data: st.DataObject) -> None:
    """Rows of any bytes, as different as can be, are put together again, also after they were stored."""
    steps = array("q", sorted(data.draw(st.sets(st.integers(0, 2**53 - 1), min_size=len(texts), max_size=len(texts)))))
    chunk = chunk_of(texts, steps)
    for one in (chunk, read_chunk(chunk.stored())):
        assert one.digest == chunk.digest
        assert one.texts(0, one.count) == texts
        assert list(one.steps(0, one.count)) == list(steps)
        assert [one.step(number) for number in range(one.count)] == list(steps)
        assert (one.count, one.first, one.last) == (len(texts), steps[0], steps[-1])
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(texts))] * 2)))
        every = data.draw(st.integers(1, 9))
        assert one.texts(begin, end, every) == texts[begin:end:every]
        step = data.draw(st.integers(-1, 2**53) | st.sampled_from(steps))
        assert one.place(step) == bisect_left(steps, step)


def test_a_long_text_makes_no_others_long() -> None:
    """One row of 10 kB among a thousand: the others don't take as much."""
    texts = [b'{"value":"%b"}' % (b"x" * (10_000 if number == 7 else number % 5)) for number in range(1_000)]
    chunk = chunk_of(texts, array("q", range(1_000)))
    assert chunk.texts(0, 1_000) == texts
    assert chunk.size_bytes < 20_000


def test_usual_rows_take_a_third() -> None:
    """Rows of a metric that is logged each fifth of a second with values of 16 digits take 40 bytes at most."""
    texts = [
        b'"value":0.%016d,"valueFlag":"","time":"2026-05-28 20:%02d:%02d.%03d","step":%d}'
        % (number * 7_777_777_777 % 10**16, 27 + number // 300, number // 5 % 60, number % 5 * 200, 900_000 + number)
        for number in range(2_048)
    ]
    assert len(texts[0]) > 85
    assert chunk_of(texts, array("q", range(2_048))).size_bytes < 40 * 2_048


@pytest.mark.parametrize("stored", [b"", b"x", b"\x90", b"\x91\xc0"])
def test_what_is_no_chunk(stored: bytes) -> None:
    """Bytes that are no chunk are told apart."""
    with pytest.raises(ValueError, match="chunk"):
        read_chunk(stored)


@st.composite
def long_extents(draw: st.DrawFn) -> tuple[Extent, Extent, ChunkSizes]:
    """Draw an extent as it came, and the same one grown, cut and compacted in between."""
    steps = draw(st.lists(st.integers(0, 400), min_size=1, max_size=120, unique=True).map(sorted))
    whole = told([row("a", step) for step in steps]).by_name["a"]
    sizes = ChunkSizes(rows=draw(st.integers(1, 9)), open_rows=draw(st.integers(1, 12)))
    grown: Extent | None = None
    begin = 0
    while begin < len(steps):
        end = draw(st.integers(begin + 1, len(steps)))
        more = cut(whole, begin, end)
        grown = more if grown is None else concatenated(grown, more, len(grown.rows))
        if draw(st.booleans()):
            grown = one(compacted(of(grown), sizes))
        begin = end
    assert grown is not None
    return whole, grown, sizes


def of(extent: Extent) -> Extents:
    """Return extents with one name."""
    return Extents(question=WHOLE, by_name={"a": extent}, tail_asked_s=1000, full_asked_s=1000)


def one(extents: Extents) -> Extent:
    """Return their only extent."""
    return extents.by_name["a"]


@given(long_extents(), st.data())
def test_chunks_make_no_difference(drawn: tuple[Extent, Extent, ChunkSizes], data: st.DataObject) -> None:
    """A series that is in chunks is read, cut, joined and answered from as if it were not."""
    whole, grown, sizes = drawn
    count = len(whole.rows)
    for extent in (grown, one(compacted(of(grown), sizes))):
        assert (len(extent.rows), len(extent.steps)) == (count, count)
        assert extent.texts() == whole.texts()
        assert list(extent.steps) == list(whole.steps)
        assert [extent.rows[number] for number in range(-count, count)] == [
            whole.rows[number] for number in range(-count, count)
        ]
        assert [extent.steps[number] for number in (0, -1, count - 1)] == [whole.steps[number] for number in (0, -1, count - 1)]
        begin, end, every = data.draw(st.tuples(st.integers(0, count), st.integers(0, count), st.integers(1, 30)))
        assert tuple(extent.rows[begin:end:every]) == tuple(whole.rows[begin:end:every])
        assert extent.steps[begin:end:every] == whole.steps[begin:end:every]
        step = data.draw(st.integers(-1, 402))
        assert place_of(extent.steps, step) == place_of(whole.steps, step)
        first, last = data.draw(st.tuples(st.integers(0, 401), st.none() | st.integers(0, 401)))
        assert window_of(extent.steps, first, last) == window_of(whole.steps, first, last)
        question = replace(WHOLE, limit=data.draw(st.integers(1, 130)), first=first, last=last)
        assert answer(of(extent), question) == answer(of(whole), question)
        assert cut(extent, begin, max(begin, end)).texts() == whole.texts()[begin : max(begin, end)]


@given(long_extents())
def test_what_compact_means(drawn: tuple[Extent, Extent, ChunkSizes]) -> None:
    """All rows but the last are in chunks of the right size; compacting once more changes nothing."""
    _, grown, sizes = drawn
    compact = compacted(of(grown), sizes)
    extent = one(compact)
    if isinstance(extent.rows, LongRows):
        *chunks, last = extent.rows.parts.all
        assert isinstance(last, OpenRows)
        assert all(not isinstance(chunk, OpenRows) and chunk.count <= sizes.rows for chunk in chunks)
        assert last.count < 2 * sizes.open_rows
    else:
        assert len(extent.rows) < 2 * sizes.open_rows
    assert compacted(compact, sizes) is compact


def test_places_out_of_range() -> None:
    """A number beyond the rows is an error, as with a tuple."""
    extent = one(compacted(told([row("a", step) for step in range(20)]), ChunkSizes(rows=4, open_rows=4)))
    for series in (extent.rows, extent.steps):
        for number in (20, -21):
            with pytest.raises(IndexError):
                series[number]


def test_small_pieces_are_put_together() -> None:
    """Rows that come into the middle of a series make one chunk with what is left of the chunks that they came into."""
    sizes = ChunkSizes(rows=16, open_rows=4)
    extents = compacted(told([row("a", 2 * step) for step in range(100)]), sizes)
    late = one(told([row("a", 63)]))
    extent = one(extents)
    begin = place_of(extent.steps, 63)
    joined = concatenated(concatenated(extent, late, begin), cut(extent, begin), begin + 1)
    assert isinstance(joined.rows, LongRows)
    again = one(compacted(of(joined), sizes))
    assert again.texts() == joined.texts()
    assert isinstance(again.rows, LongRows)
    assert len(again.rows.parts.all) <= len(joined.rows.parts.all)


@given(long_extents(), st.data())
def test_chunks_leave_and_come_back(drawn: tuple[Extent, Extent, ChunkSizes], data: st.DataObject) -> None:
    """Steps are known without the rows; an answer needs the chunks of its window, and is then the same."""
    whole, grown, sizes = drawn
    extents = compacted(of(grown), sizes)
    chunks = {chunk.digest: chunk for chunk in chunks_of(extents.by_name.values())}
    gone = data.draw(st.sets(st.sampled_from(sorted(chunks)))) if chunks else set()
    less = without_chunks(extents, gone)
    assert (less is extents) == (not gone)
    assert less.size_bytes == extents.size_bytes - sum(chunks[one].size_bytes - chunks[one].let_go().size_bytes for one in gone)
    assert list(one(less).steps) == list(whole.steps)
    assert set(absent_of(less.by_name.values())) == gone
    first, last = data.draw(st.tuples(st.integers(0, 401), st.none() | st.integers(0, 401)))
    question = replace(WHOLE, first=first, last=last)
    needed = absent_of(less.by_name.values(), first, last)
    try:
        # What lies about the window counts as needed, too, since a row that comes there divides it.
        assert answer(less, question) == answer(of(whole), question)
    except ChunkAbsentError:
        assert needed
    assert answer(with_chunks(less, {digest: chunks[digest] for digest in needed}), question) == answer(of(whole), question)


def test_rows_on_disk_prove_nothing() -> None:
    """Known rows that aren't in memory don't show that an answer has no gap, and can't be stored again."""
    rows = [row("a", step) for step in range(40)]
    extents = compacted(told(rows), ChunkSizes(rows=10, open_rows=4))
    new = one(told(rows[5:]))
    assert shows_no_gap(one(extents), new, 5)
    (digest, *_) = [chunk.digest for chunk in chunks_of(extents.by_name.values())]
    less = without_chunks(extents, {digest})
    assert not shows_no_gap(one(less), new, 5)
    absent = next(iter(chunks_of(less.by_name.values())))
    assert absent.let_go() is absent
    with pytest.raises(ChunkAbsentError):
        absent.stored()


@given(long_extents(), st.data())
def test_rows_are_compared_however_they_are_held(drawn: tuple[Extent, Extent, ChunkSizes], data: st.DataObject) -> None:
    """Rows are found again from where they begin, whatever chunks are shared; one row more or another one is a difference."""
    whole, grown, sizes = drawn
    count = len(whole.rows)
    compact = one(compacted(of(grown), sizes))
    same = (whole, grown, compact)
    assert all(finished(comparing(mine.rows, theirs.rows)) for mine in same for theirs in same)
    place = data.draw(st.integers(0, count - 1))
    changed = one(told([row("a", step, value=2 if number == place else 1) for number, step in enumerate(whole.steps)]))
    others = [changed, one(compacted(of(changed), sizes))]
    assert not any(finished(comparing(mine.rows, theirs.rows)) for mine in same for theirs in others)
    begin, end = sorted(data.draw(st.tuples(st.integers(0, count), st.integers(0, count))))
    parts = [cut(mine, begin, end) for mine in same]
    assert all(finished(comparing(mine.rows, part.rows, begin)) for mine in same for part in parts)
    assert not any(finished(comparing(mine.rows, theirs.rows, 1)) for mine in same for theirs in same)
