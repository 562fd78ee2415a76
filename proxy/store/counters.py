"""What a store counts, as plain integers that anyone may read at any time."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class StoreCounters:
    """Counts since the process started. They only grow.

    `reads` are calls of get(), of which `hits` returned an entry. `writes` are entries committed, in `write_batches`
    transactions. `evictions` are entries removed to make room. `errors` are faults of any kind that were noticed. `dropped`
    are entries put and not kept: while the file could not be used, or because more was put than could be written. `set_aside`
    are files renamed because they could not be read. `corrupt` are rows that failed their checksum or claim to be
    from the future; they were deleted.
    """

    reads: int = 0
    hits: int = 0
    writes: int = 0
    write_batches: int = 0
    evictions: int = 0
    errors: int = 0
    dropped: int = 0
    set_aside: int = 0
    corrupt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSizes:
    """How full the file was after the last write: its bytes, of these the bytes in use, and those of its write-ahead log beside
    it; the number of entries, which may be a few seconds old.
    """

    file_bytes: int = 0
    live_bytes: int = 0
    log_bytes: int = 0
    entries: int = 0
