"""Memory in front of SQLite, as one store."""

from proxy.core.freshness.entry import Entry
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

    def put(self, namespace: str, key: str, entry: Entry, keeping: Keeping = Keeping.DISK) -> None:
        """Store an entry where it may be kept. Never blocks; an older entry never replaces a newer one."""
        self.memory.put(namespace, key, entry, few=keeping is Keeping.FEW)
        if keeping is Keeping.DISK:
            self.disk.put(namespace, key, entry)

    async def adopt(
        self, upstream: str, fingerprint: str, organization: str, *, old_namespace: str, new_namespace: str
    ) -> None:
        """Remember which organization a key belongs to, and give what was stored under the key to the organization."""
        self.memory.rename(old_namespace, new_namespace)
        await self.disk.adopt(upstream, fingerprint, organization, old_namespace=old_namespace, new_namespace=new_namespace)
