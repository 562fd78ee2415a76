"""What every store promises to the service."""

from typing import Protocol

from proxy.core.freshness.entry import Entry

EntryKey = tuple[str, str]
"""The namespace and the key that an entry is stored under."""


class UnreadError(Exception):
    """The file could not be read now, or not in time, so that nothing is known of what it has."""


class Store(Protocol):
    """Entries by namespace and key. A get in one namespace never returns an entry of another, whatever the keys.

    A store may lose any entry at any time. What it returns is always what was put under that namespace and key, undamaged.
    """

    async def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry that was put there, or None. Never raises: a fault is logged and counted, and gives None."""

    def put(self, namespace: str, key: str, entry: Entry) -> None:
        """Keep the entry, unless the store has one with a later `sent_at_s`. Never blocks on I/O and never raises.

        An entry whose status is not 200 is not kept: it removes the entry under its key, unless that one is newer.
        """

    async def aclose(self) -> None:
        """Write what was put, as far as bounded time allows, and release all resources. May be called again."""
