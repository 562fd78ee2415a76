"""What the store with the SQLite file counts: plain integers, which anyone may read at any time."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class StoreCounters:
    """Counts since the process started. They only grow.

    `reads` are calls of get() and read(); `hits` of them returned an entry. `unread` are those, and other reads, that could not
    read the file. `writes` are entries committed, in `write_batches` transactions. `evictions` are entries removed to make
    room. `errors` are faults of any kind. `dropped` are entries that were put and not kept, because the file could not be used
    or because more was put than could be written. `set_aside` are files that were renamed because they could not be read.
    `corrupt` are rows that were deleted because they failed their checksum or claimed to be from the future.
    """

    reads: int = 0
    hits: int = 0
    unread: int = 0
    writes: int = 0
    write_batches: int = 0
    evictions: int = 0
    errors: int = 0
    dropped: int = 0
    set_aside: int = 0
    corrupt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSizes:
    """How full the file was after the last write.

    `file_bytes` is the size of the database file, of which `live_bytes` are in use. `log_bytes` is the size of the write-ahead
    log beside it. `entries` is the number of entries, which may be a few seconds old.
    """

    file_bytes: int = 0
    live_bytes: int = 0
    log_bytes: int = 0
    entries: int = 0
