"""What was seen of the upstream's limits counts for a minute, and what was concluded from it is confirmed within that."""

from dataclasses import replace

import pytest

from proxy.core.proof.limits import TRUST_S, Limits
from proxy.core.proof.sizes import Size
from proxy.core.series.metrics_query import MetricsQuery

ALL = MetricsQuery(run="1", project="p", name=None, group=None, limit=10_000, first=0, last=None)
ONE = replace(ALL, name="loss")


def size(rows: int, names: int = 1) -> Size:
    return Size(names=names, most=rows, rows=rows * names, bytes=100 * rows * names)


def allowed(limits: Limits, question: MetricsQuery, needed: Size, at_s: float) -> bool:
    return limits.allow(question, needed, asked_s=at_s, now_s=at_s)


def test_only_what_was_seen_a_moment_ago_counts() -> None:
    """An answer shows what is sent for a minute, to questions asked no earlier than it was."""
    limits = Limits()
    assert not allowed(limits, ONE, size(1), 100)
    limits.note(ONE, size(10), 100)
    assert allowed(limits, ONE, size(10), 100)
    assert allowed(limits, ONE, size(10), 99 + TRUST_S)
    assert not limits.allow(ONE, size(10), asked_s=99, now_s=101)
    assert not allowed(limits, ONE, size(11), 100)
    assert not allowed(limits, ONE, size(10), 100 + TRUST_S)
    assert limits.shows(ONE, size(10), now_s=101)
    assert not limits.shows(ONE, size(11), now_s=101)


@pytest.mark.parametrize(("seen", "asked"), [(ALL, ONE), (ONE, ALL)])
def test_kinds_are_apart(seen: MetricsQuery, asked: MetricsQuery) -> None:
    """What is sent to questions about one name says nothing about those about all, nor the other way round."""
    limits = Limits()
    limits.note(seen, size(100, 5), 0)
    assert not allowed(limits, asked, size(1), 1)


@pytest.mark.parametrize("larger", [Size(names=1, most=4, rows=4, bytes=10), Size(names=1, most=1, rows=6, bytes=10)])
def test_every_respect_counts(larger: Size) -> None:
    """An answer shows nothing about one that is larger in any respect, and two don't add up."""
    limits = Limits()
    limits.note(ALL, Size(names=1, most=9, rows=9, bytes=9), 0)
    limits.note(ALL, Size(names=2, most=3, rows=5, bytes=99), 0)
    assert not allowed(limits, ALL, larger, 1)


def test_a_claim_is_due_before_its_witness_is_a_minute_old() -> None:
    """It is confirmed by as much, seen of what was asked for after all that was taken to be whole because of it."""
    limits = Limits()
    limits.note(ALL, size(10), 0)
    assert limits.due(1_000) is None
    assert allowed(limits, ALL, size(3), 5)
    assert allowed(limits, ALL, size(5), 20)
    assert limits.due(44) is None
    assert (claim := limits.due(46)) is not None
    assert (claim.witness.question, claim.size, claim.until_s) == (ALL, size(5), 20)
    limits.note(ALL, size(9), 19)
    limits.note(ALL, size(4), 21)
    limits.note(ONE, size(9), 21)
    assert limits.due(46) == claim
    limits.note(ALL, size(5), 20)
    assert limits.due(46) is None


def test_few_witnesses() -> None:
    """One that is to be asked again anyway serves others too, and else the one that costs the least."""
    limits = Limits()
    for number, rows in enumerate((10, 100, 1_000)):
        limits.note(replace(ALL, run=str(number)), size(rows), 3 - number)
    assert allowed(limits, ALL, size(50), 5)
    assert allowed(limits, ALL, size(5), 5)
    assert [question.run for question in limits.pending] == ["1"]


def test_a_witness_that_fails_is_asked_again() -> None:
    """What could not be confirmed for another reason waits some seconds."""
    limits = Limits()
    limits.note(ALL, size(10), 0)
    assert allowed(limits, ALL, size(3), 5)
    claim = limits.due(50)
    assert claim is not None
    limits.put_off(claim, 50)
    assert limits.due(54) is None
    assert limits.due(55) is not None
    limits.forget()
    assert (limits.due(1_000), dict(limits.pending), allowed(limits, ALL, size(1), 6)) == (None, {}, False)
    limits.put_off(claim, 60)
    assert limits.due(1_000) is None


def test_an_earlier_claim_is_joined() -> None:
    """A claim of an earlier process is due at once, with all that is claimed of its witness, unless that was as much."""
    limits = Limits()
    limits.note(ALL, size(10), 0)
    assert allowed(limits, ALL, size(3), 5)
    limits.resume(ALL, size(2), 6)
    assert (limits.due(7), limits.pending) == (None, {ALL: size(3)})
    limits.resume(ALL, Size(names=1, most=4, rows=4, bytes=50), 8)
    claim = limits.due(8)
    assert claim is not None
    assert (claim.size, claim.until_s) == (Size(names=1, most=4, rows=4, bytes=300), 8)
    limits.resume(ONE, size(5), 9)
    assert limits.pending[ONE] == size(5)


def test_a_small_witness_is_enough() -> None:
    """It is asked for no more rows than will most likely confirm the claim, all of them where that is uncertain."""
    limits = Limits()
    limits.note(ALL, size(800, 2), 0, thinned=((16, 9, 18), (256, 129, 258), (1_024, 513, 700)))
    for rows, limit in ((7, 16), (100, 256), (250, 1_024), (700, 10_000)):
        assert allowed(limits, ALL, size(rows, 2), 5)
        claim = limits.due(50)
        assert claim is not None
        assert claim.smaller == replace(ALL, limit=limit)


def test_what_is_kept_is_bounded() -> None:
    """What is no larger than a later one is let go, what is old as well, and only some are kept."""
    limits = Limits()
    for rows in range(1, 30):
        limits.note(ALL, Size(names=1, most=rows, rows=rows, bytes=30 - rows), rows)
    assert len(limits._seen) == 8  # noqa: SLF001 -- how much is kept shows nowhere else
    limits.note(ALL, size(100, 30), 40)
    assert len(limits._seen) == 1  # noqa: SLF001 -- how much is kept shows nowhere else


def test_each_kind_has_room() -> None:
    """However many whole runs were seen, what was seen of one name counts."""
    limits = Limits()
    for number in range(20):
        limits.note(replace(ALL, run=str(number)), size(1_000 - number, 5), number)
    limits.note(ONE, size(100), 20)
    limits.note(ALL, size(300, 5), 20)
    assert limits.shows(ONE, size(100), now_s=21)
    assert limits.shows(ALL, size(1_000, 5), now_s=21)


def test_what_is_in_doubt_is_confirmed_all_the_same() -> None:
    """Nothing more is concluded from what was seen; what was before remains a claim."""
    limits = Limits()
    limits.note(ALL, size(10), 0)
    assert allowed(limits, ALL, size(3), 5)
    limits.doubt()
    assert not allowed(limits, ALL, size(3), 6)
    assert limits.due(46) is not None


def test_what_is_old_takes_no_room() -> None:
    """What was seen longer ago than counts is let go for what was seen just now, however much it was."""
    limits = Limits()
    for number in range(20):
        limits.note(ONE, Size(names=1, most=900 - number, rows=900 - number, bytes=10_000 + number), number)
    limits.note(ONE, size(100), 100)
    assert limits.shows(ONE, size(100), now_s=101)


def test_what_another_process_left() -> None:
    """It is due at once, and confirmed by as much that is asked for from then on."""
    limits = Limits()
    limits.resume(ALL, size(10), 100)
    assert (claim := limits.due(100)) is not None
    assert (claim.smaller, limits.pending) == (ALL, {ALL: size(10)})
    limits.note(ALL, size(10), 99)
    assert limits.due(100) is not None
    limits.note(ALL, size(10), 100)
    assert limits.due(1_000) is None
