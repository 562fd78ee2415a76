"""The memory tier: bounds, order of eviction, renaming."""

from dataclasses import replace

from proxy.core.freshness.entry import OVERHEAD_BYTES, Coding
from proxy.store import MemoryStore
from tests.store.support import NOW_S, entry

ONE = OVERHEAD_BYTES + len("ns" + "a" + "{}")


def test_nothing_is_held_without_room() -> None:
    """`max_bytes` of 0 switches the tier off."""
    store = MemoryStore(0)
    store.put("ns", "a", entry())
    assert store.peek("ns", "a") is None
    assert (store.entries, store.size_bytes, store.evictions) == (0, 0, 0)


def test_the_least_recently_used_goes_first() -> None:
    """A peek counts as a use; the bytes held never exceed the bound."""
    store = MemoryStore(2 * ONE)
    store.put("ns", "a", entry())
    store.put("ns", "b", entry())
    assert store.peek("ns", "a") is not None
    store.put("ns", "c", entry())
    assert [key for key in "abc" if store.peek("ns", key)] == ["a", "c"]
    assert (store.entries, store.size_bytes, store.evictions) == (2, 2 * ONE, 1)


def test_what_is_too_large_takes_its_older_self_along() -> None:
    """An entry larger than the store is not held, evicts nobody else, and leaves no outdated answer under its key."""
    store = MemoryStore(2 * ONE)
    store.put("ns", "a", entry())
    store.put("ns", "b", entry())
    store.put("ns", "a", entry("x" * 2 * ONE, sent_at_s=NOW_S - 1))
    assert store.peek("ns", "a") is not None, "an older entry changes nothing, however large"
    store.put("ns", "a", entry("x" * 2 * ONE))
    assert store.peek("ns", "a") is None
    assert store.peek("ns", "b") is not None
    assert store.evictions == 0


def test_encoded_forms_count() -> None:
    """An entry that gains a compressed form is reckoned anew when it is put again."""
    store = MemoryStore(10 * ONE)
    first = entry()
    store.put("ns", "a", first)
    store.put("ns", "a", replace(first, encoded={Coding.GZIP: b"12345"}))
    assert store.size_bytes == ONE + 5


def test_what_is_no_answer_takes_the_older_one_with_it() -> None:
    """A status other than 200 stands for nothing being there any more."""
    store = MemoryStore(10 * ONE)
    store.put("ns", "a", entry(sent_at_s=1))
    store.put("ns", "a", entry(sent_at_s=2, status=404))
    assert store.peek("ns", "a") is None
    store.put("ns", "a", entry(sent_at_s=3))
    store.put("ns", "a", entry(sent_at_s=2, status=404))
    assert store.peek("ns", "a") is not None


def test_rename_keeps_the_newer() -> None:
    """A rename moves everything and prefers the entry that was sent later, whichever side it was on."""
    store = MemoryStore(10 * ONE)
    store.put("old", "a", entry("old", sent_at_s=2))
    store.put("new", "a", entry("new", sent_at_s=1))
    store.put("old", "b", entry("old", sent_at_s=1))
    store.put("new", "b", entry("new", sent_at_s=2))
    store.put("old", "c", entry("old"))
    store.rename("old", "new")
    bodies = {key: found.body for key in "abc" if (found := store.peek("new", key))}
    assert bodies == {"a": b"old", "b": b"new", "c": b"old"}
    assert all(store.peek("old", key) is None for key in "abc")


def test_rename_to_itself() -> None:
    """Nothing happens."""
    store = MemoryStore(10 * ONE)
    store.put("ns", "a", entry())
    store.rename("ns", "ns")
    assert store.peek("ns", "a") is not None
