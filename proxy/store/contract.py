"""What every store promises to the service."""

from typing import Protocol

from proxy.core.freshness.entry import Entry

EntryKey = tuple[str, str]
"""The namespace and the key that an entry is stored under."""


class Store(Protocol):
    """Entries by namespace and key. Two namespaces never see each other's entries, whatever their keys.

    A store may lose any entry at any time; it never hands out another one than was put under that namespace and key, nor a
    damaged one.
    """

    async def get(self, namespace: str, key: str) -> Entry | None:
        """Return the newest entry that was put there, or None. Never raises: a fault is logged, counted, and is None."""

    def put(self, namespace: str, key: str, entry: Entry) -> None:
        """Keep the entry, unless there is one with a later `sent_at_s`. Never blocks on I/O and never raises.

        One whose status is not 200 is not kept, and takes what is older under its key with it.
        """

    async def aclose(self) -> None:
        """Finish what was put, as far as that is possible in bounded time, and let go of everything. Repeatable."""
