"""A row is known to be what was put, whatever happens to it."""

import sys
import tracemalloc
from dataclasses import replace

import pytest

from proxy.core.freshness.entry import Coding
from proxy.store.sqlite.codec import DamagedRowError, Row, entry_of, hash_of, row_of, seal_of, verify
from tests.store.support import NOW_S, entry, noise

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def check(row: Row) -> bytes:
    verify(row, not_after_s=NOW_S + 1)
    return entry_of(row).body


def test_a_ready_made_zstd_form_is_stored_as_it_is() -> None:
    """A form that was made for the clients is not made again, and comes back with the entry."""
    ready = zstd.compress(b"{}", 19)
    row = row_of("ns", "key", replace(entry(), encoded={Coding.ZSTD: ready}))
    assert row.blob == ready
    assert entry_of(row).encoded == {Coding.ZSTD: ready}


@pytest.mark.parametrize("scant", [False, True])
@pytest.mark.parametrize("purged", [False, True])
def test_marks_come_back(purged: bool, scant: bool) -> None:
    """Each by itself and both together, and the digest is the entry's own."""
    before = replace(entry(), purged=purged, scant=scant)
    row = row_of("ns", "key", before)
    verify(row, not_after_s=NOW_S + 1)
    after = entry_of(row)
    assert (after.purged, after.scant, after.digest) == (purged, scant, before.digest)


@pytest.mark.parametrize(
    "change",
    [
        {"namespace": "other"},
        {"key": "other"},
        {"sent_at_s": NOW_S + 0.5},
        {"digest": b"0" * 32},
        {"body_bytes": 3},
        {"body_bytes": "2"},
        {"blob": b""},
        {"blob": zstd.compress(b"[]", 3)},
        {"blob_hash": hash_of(b"")},
        {"seal": b"0" * 16},
        {"seal": None},
    ],
    ids=str,
)
def test_any_change_is_noticed(change: dict[str, object]) -> None:
    """No field of a row can change without its being noticed."""
    row = row_of("ns", "key", entry())
    assert check(row) == b"{}"
    with pytest.raises(DamagedRowError):
        check(replace(row, **change))  # type: ignore[arg-type]  # a field of any type


def sealed(row: Row) -> Row:
    """The row with hashes that fit what it says now."""
    blob_hash = hash_of(row.blob)
    seal = seal_of(row.namespace, row.key, row.sent_at_s, row.digest, row.body_bytes, blob_hash)
    return replace(row, blob_hash=blob_hash, seal=seal)


@pytest.mark.parametrize(
    ("blob", "body_bytes"),
    [
        (zstd.compress(b"x" * 100_000_000, 3), 2),
        (zstd.compress(b"{}", 3), 1),
        (zstd.compress(b"{}", 3), 3),
        (zstd.compress(b"{}", 3)[:-1], 2),
        (zstd.compress(b"{}", 3) + b"\0", 2),
        (zstd.compress(b"{", 3) + zstd.compress(b"}", 3), 2),
        (b"not zstd", 2),
        (b"", 0),
    ],
    ids=["bomb", "longer", "shorter", "cut", "trailing", "two frames", "not zstd", "empty"],
)
def test_a_body_is_exactly_as_long_as_it_says(blob: bytes, body_bytes: int) -> None:
    """Even with hashes that fit, no more is decompressed than was announced, and nothing less is taken for it."""
    row = sealed(replace(row_of("ns", "key", entry()), blob=blob, body_bytes=body_bytes))
    tracemalloc.start()
    try:
        with pytest.raises(DamagedRowError):
            check(row)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_future_is_not_believed() -> None:
    """An entry that was sent after now was written while the clock was wrong."""
    verify(row_of("ns", "key", entry(sent_at_s=NOW_S)), not_after_s=NOW_S)
    with pytest.raises(DamagedRowError, match="future"):
        verify(row_of("ns", "key", entry(sent_at_s=NOW_S + 0.001)), not_after_s=NOW_S)


def test_noise_grows_little() -> None:
    """What does not compress is stored at nearly its own length."""
    assert len(row_of("ns", "key", entry(noise(100_000))).blob) < 100_100
