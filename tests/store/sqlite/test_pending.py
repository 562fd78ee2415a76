"""What waits to be written is bounded, and never loses the newest of a key to an older one."""

from dataclasses import replace

from proxy.core.freshness.entry import Coding, tombstone
from proxy.core.freshness.purge import MOST, Purge
from proxy.store.sqlite.backlog import Backlog
from proxy.store.sqlite.pending import Pending, newest
from tests.store.support import NOW_S, entry, purges

ONE = entry().size_bytes


def test_beyond_its_bound_the_oldest_is_given_up() -> None:
    """What has waited longest goes first; an entry put again waits anew."""
    pending = Pending(2 * ONE)
    assert [pending.add("ns", key, entry()) for key in "aba"] == [0, 0, 0]
    assert pending.add("ns", "c", entry()) == 1
    assert [key for key in "abc" if pending.get("ns", key)] == ["a", "c"]
    assert pending.add("ns", "d", entry("x" * 3 * ONE)) == 3
    assert len(pending) == 0


def test_what_is_lasting_is_never_given_up() -> None:
    """Neither beyond the bound, nor where nothing can be written, nor under another name; nor is what replaces it."""
    pending = Pending(2 * ONE)
    pending.add("ns", "a", entry(), lasting=True)
    assert [pending.add("ns", key, entry()) for key in "bcd"] == [0, 1, 1]
    pending.take(ONE)
    assert pending.clear() == 1
    pending.rename("ns", "new")
    pending.add("new", "a", entry("later", NOW_S + 1))
    assert pending.clear() == 0
    assert pending.get("new", "a") is not None


def test_a_batch_takes_what_fits_and_one_at_least() -> None:
    """A batch is bounded in bytes, and taken in the order of waiting."""
    pending = Pending(100 * ONE)
    for key in "abcd":
        pending.add("ns", key, entry())
    assert [key for _, key in pending.take(2 * ONE)] == ["a", "b"]
    pending.done()
    assert [key for _, key in pending.take(1)] == ["c"]


def test_parts_are_taken_away_last() -> None:
    """What lists other parts instead of them is in the file before, also where it was put anew meanwhile."""
    pending = Pending(100 * ONE)
    for key, one in (("list", entry()), ("part 1", tombstone(NOW_S)), ("/gone", tombstone(NOW_S)), ("part 2", entry())):
        pending.add("ns", key, one)
    pending.add("ns", "list", entry())
    taken: list[str] = []
    while len(pending):
        taken += [key for _, key in pending.take(1)]
        pending.done()
    assert taken == ["/gone", "part 2", "list", "part 1"]


def test_a_batch_is_read_until_it_is_done() -> None:
    """Between taking and committing an entry can be found."""
    pending = Pending(100 * ONE)
    pending.add("ns", "a", entry())
    pending.take(ONE)
    assert pending.get("ns", "a") is not None
    pending.done()
    assert pending.get("ns", "a") is None


def test_what_is_put_back_does_not_hide_what_came_since() -> None:
    """A batch that failed waits again, except where a newer entry waits already."""
    pending = Pending(100 * ONE)
    pending.add("ns", "a", entry("first", 1))
    pending.add("ns", "b", entry("first", 1))
    pending.take(9 * ONE)
    pending.add("ns", "a", entry("as new", 1))
    assert pending.put_back() == 0
    bodies = [found.body for key in "ab" if (found := pending.get("ns", key))]
    assert bodies == [b"as new", b"first"]


def test_a_rename_reaches_both_halves() -> None:
    """What waits and what is being written is found under the new name, the newest of both."""
    pending = Pending(100 * ONE)
    pending.add("old", "a", entry("newest", 9))
    pending.take(9 * ONE)
    pending.add("new", "a", entry("newer", 5))
    pending.add("old", "b", entry("b", 1))
    pending.rename("old", "new")
    bodies = [found.body for key in "ab" if (found := pending.get("new", key))]
    assert bodies == [b"newest", b"b"]
    assert pending.get("old", "a") is pending.get("old", "b") is None


def test_clearing_counts() -> None:
    """Giving up everything says how much that was."""
    pending = Pending(100 * ONE)
    pending.add("ns", "a", entry())
    pending.take(ONE)
    pending.add("ns", "b", entry())
    assert pending.clear() == 2
    assert len(pending) == 0
    assert not pending.take(ONE)


def test_newest() -> None:
    """The later one, the second of two alike, the one that there is."""
    older, newer = entry(sent_at_s=1), entry(sent_at_s=2)
    assert newest(older, newer) is newest(newer, older) is newer
    assert newest(None, None) is None
    assert newest(older, None) is newest(None, older) is older


def test_a_form_is_taken_over() -> None:
    """What waits gains the forms that were made of the same bytes meanwhile, and is reckoned with them; nothing else does."""
    form = {Coding.ZSTD: b"x" * 100}
    formed, later = replace(entry(), encoded=form), entry(sent_at_s=NOW_S + 1)
    pending = Pending(3 * ONE + 99)
    pending.replace("ns", "absent", formed)
    assert pending.get("ns", "absent") is None
    pending.add("ns", "a", later)
    pending.replace("ns", "a", replace(entry("other"), encoded=form))
    assert pending.get("ns", "a") == later
    pending.replace("ns", "a", formed)
    assert pending.get("ns", "a") == replace(later, encoded=form)
    pending.add("ns", "b", entry())
    assert pending.add("ns", "c", entry()) == 1
    pending.take(10 * ONE)
    pending.replace("ns", "b", formed)
    assert pending.get("ns", "b") == entry()


def test_what_is_gone_is_never_given_up() -> None:
    """Neither for its size nor when everything is: the file would bring the answer back. What answers are made of may be."""
    pending = Pending(10_000)
    pending.add("ns", "/gone", tombstone(NOW_S))
    pending.add("ns", "part", tombstone(NOW_S))
    for number in range(20):
        pending.add("ns", f"/{number}", entry("x" * 1_000))
    assert pending.get("ns", "/gone") is not None
    assert pending.get("ns", "part") is None
    pending.take(1)
    held = len(pending)
    assert pending.clear() == held - 1
    assert pending.get("ns", "/gone") is not None
    assert len(pending) == 1
    only = Pending(1)
    assert only.add("ns", "/gone", tombstone(NOW_S)) == 0
    assert len(only) == 1


def test_purges_that_come_back_are_bounded() -> None:
    """However many came while others were being carried out."""
    backlog = Backlog(10_000)
    for number in range(MOST):
        backlog.purge(Purge(at_s=NOW_S + number, run=str(number)))
    backlog.take(1)
    for number in range(3 * MOST):
        backlog.purge(Purge(at_s=NOW_S + MOST + number, run=str(number)))
        assert purges(backlog) <= MOST + 1
    backlog.give_up()
    assert purges(backlog) == MOST + 1
    assert backlog.remains_of("/api/runs/details/x", entry("x", NOW_S + MOST - 1)) is None
