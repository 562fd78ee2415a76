"""A stored answer: the bytes that the upstream sent, when they were asked for, and their compressed forms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from xxhash import xxh3_128_hexdigest

# What an entry costs in memory beside its bodies: objects, key, and places in tables. Measured with 10,000 entries
# (docs/explanation/benchmarks.md) and rounded up.
OVERHEAD_BYTES = 1_500


class Coding(StrEnum):
    """A content coding by its registered name (RFC 9110 section 8.4.1)."""

    IDENTITY = "identity"
    GZIP = "gzip"
    ZSTD = "zstd"


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Entry:
    """One answer of the upstream to one question.

    `body`: as it came, never re-serialised.
    `sent_at_s`: when the request was sent, wall time (seconds since the epoch). The answer is at least as new as that, so that
    its age counts from there.
    `digest`: the body's XXH3 of 128 bits, 32 lower-case hex digits. It tells bodies apart, but an attacker can make
    two with the same.
    `status`: 200, or the 4xx that the upstream answered.
    `encoded`: the compressed forms that were made so far.
    `full_asked_s`: when all of it was last asked for (wall time), where only its newest rows were asked for at `sent_at_s`.
    `through`: the last step up to which all of its series are known, where they are.
    `purged`: it was purged softly (`core.freshness.purge`).
    `elements`: the length of its list; None where it is no list, or nobody has counted.
    `scant`: its list is empty, or was shorter than that of the answer before it. There may be more in a moment.
    """

    body: bytes
    sent_at_s: float
    digest: str
    status: int = 200
    encoded: Mapping[Coding, bytes] = field(default_factory=lambda: MappingProxyType({}))
    full_asked_s: float | None = None
    through: int | None = None
    purged: bool = False
    elements: int | None = None
    scant: bool = False

    @property
    def oldest_asked_s(self) -> float:
        """When its oldest part was asked for (wall time)."""
        return self.sent_at_s if self.full_asked_s is None else min(self.sent_at_s, self.full_asked_s)

    @property
    def size_bytes(self) -> int:
        """What holding this entry costs in memory."""
        return OVERHEAD_BYTES + len(self.body) + sum(map(len, self.encoded.values()))


def is_scant(elements: int | None, before: int | None) -> bool:
    """Tell whether a list of so many elements is empty, or shorter than the one before it. None: not known."""
    return elements == 0 or (elements is not None and before is not None and elements < before)


def digest_of(body: bytes) -> str:
    """Return the digest that an Entry with this body carries (32 hex digits)."""
    return xxh3_128_hexdigest(body)


def tombstone(sent_at_s: float) -> Entry:
    """Return an entry that, put into a store, removes what it has under the key: the upstream no longer says that."""
    return Entry(body=b"", sent_at_s=sent_at_s, digest="", status=404)
