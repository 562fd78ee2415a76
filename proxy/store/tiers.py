"""Memory in front of the SQLite file, as one store."""

from collections.abc import Sequence

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge
from proxy.core.question.keeping import Keeping
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore


class TieredStore:
    """Reads from memory first, then from the file. An entry that was found in the file is put into memory."""

    def __init__(self, memory: MemoryStore, disk: SqliteStore) -> None:
        self.memory = memory
        self.disk = disk

    async def get(self, namespace: str, key: str, keeping: Keeping = Keeping.DISK) -> Entry | None:
        """Return the newest entry stored under a key. Never raises: a fault of the file is a miss."""
        if (entry := self.memory.peek(namespace, key)) is not None or keeping is not Keeping.DISK:
            return entry
        removals = self.memory.removals
        entry = await self.disk.get(namespace, key)
        # What is gone by now must not come back: the read may have begun before.
        if entry is not None and self.memory.removals == removals:
            self.memory.put(namespace, key, entry)
        return entry

    def peek(self, namespace: str, key: str) -> Entry | None:
        """Return the entry that memory has under a key, or None."""
        return self.memory.peek(namespace, key)

    async def on_disk(self, namespace: str, key: str) -> Entry | None:
        """Return the entry that the file has under a key, whatever memory has, or None. Never raises."""
        return await self.disk.get(namespace, key)

    def put(self, namespace: str, key: str, entry: Entry, keeping: Keeping = Keeping.DISK) -> None:
        """Store an entry where `keeping` allows it. Never blocks; an older entry never replaces a newer one."""
        self.memory.put(namespace, key, entry, few=keeping is Keeping.ONE_OFF)
        if keeping is Keeping.DISK:
            self.disk.put(namespace, key, entry)

    async def purge(self, purge: Purge) -> tuple[int, bool]:
        """Carry out a purge in memory, then in the file.

        Return how many entries of memory it took, and whether it is carried out in the file.
        """
        taken = self.memory.purge(purge)
        return taken, await self.disk.purge(purge)

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that the file has for a key's fingerprint, or None. Raises UnreadError."""
        return await self.disk.organization_of(upstream, fingerprint)

    async def namespaces(self) -> Sequence[str]:
        """Return the namespaces that the file has entries of. Raises UnreadError."""
        return await self.disk.namespaces()

    async def adopt(
        self, upstream: str, fingerprint: str, organization: str, *, old_namespace: str, new_namespace: str
    ) -> None:
        """Remember which organization a key belongs to, and rename the key's namespace to the organization's."""
        self.memory.rename(old_namespace, new_namespace)
        await self.disk.adopt(upstream, fingerprint, organization, old_namespace=old_namespace, new_namespace=new_namespace)
