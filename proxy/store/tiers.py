"""Memory in front of SQLite, as one store."""

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purge
from proxy.core.question.keeping import Keeping
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore


class TieredStore:
    """Looks into memory first; what is found on disk is brought into memory."""

    def __init__(self, memory: MemoryStore, disk: SqliteStore) -> None:
        self.memory = memory
        self.disk = disk

    async def get(self, namespace: str, key: str, keeping: Keeping = Keeping.DISK) -> Entry | None:
        """Return the newest entry stored under a key. Never raises: a fault of the disk is a miss."""
        if (entry := self.memory.peek(namespace, key)) is not None or keeping is not Keeping.DISK:
            return entry
        entry = await self.disk.get(namespace, key)
        if entry is not None:
            self.memory.put(namespace, key, entry)
        return entry

    def peek(self, namespace: str, key: str) -> Entry | None:
        """Return the entry that memory has under a key."""
        return self.memory.peek(namespace, key)

    async def on_disk(self, namespace: str, key: str) -> Entry | None:
        """Return the entry that the disk has under a key, whatever memory has. Never raises."""
        return await self.disk.get(namespace, key)

    def put(self, namespace: str, key: str, entry: Entry, keeping: Keeping = Keeping.DISK) -> None:
        """Store an entry where it may be kept. Never blocks; an older entry never replaces a newer one."""
        self.memory.put(namespace, key, entry, few=keeping is Keeping.ONE_OFF)
        if keeping is Keeping.DISK:
            self.disk.put(namespace, key, entry)

    async def purge(self, purge: Purge) -> tuple[int, bool]:
        """Carry out a purge, in memory at once; return how many answers that took, and whether the file has seen it."""
        taken = self.memory.purge(purge)
        return taken, await self.disk.purge(purge)

    async def organization_of(self, upstream: str, fingerprint: str) -> str | None:
        """Return the organization that the disk remembers of a key."""
        return await self.disk.organization_of(upstream, fingerprint)

    async def adopt(
        self, upstream: str, fingerprint: str, organization: str, *, old_namespace: str, new_namespace: str
    ) -> None:
        """Remember which organization a key belongs to, and give what was stored under the key to the organization."""
        self.memory.rename(old_namespace, new_namespace)
        await self.disk.adopt(upstream, fingerprint, organization, old_namespace=old_namespace, new_namespace=new_namespace)
