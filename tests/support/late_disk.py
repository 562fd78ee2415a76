"""A cache file of which some reads come back too late, so that nothing is known of what it has."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

from proxy.core.freshness.entry import Entry
from proxy.store import SqliteStore, UnreadError


@contextmanager
def late(concerned: Callable[[str], bool] = lambda _key: True) -> Iterator[None]:
    """Reads of the keys that are `concerned` come too late."""
    read = SqliteStore.read

    async def read_late(self: SqliteStore, namespace: str, key: str) -> Entry | None:
        if concerned(key):
            self.counters.unread += 1
            raise UnreadError
        return await read(self, namespace, key)

    with patch.object(SqliteStore, "read", read_late):
        yield


@contextmanager
def not_told_whose() -> Iterator[None]:
    """Reads of whose a key is come too late."""

    async def read_late(self: SqliteStore, _upstream: str, _fingerprint: str) -> str | None:
        self.counters.unread += 1
        raise UnreadError

    with patch.object(SqliteStore, "organization_of", read_late):
        yield
