"""Where answers are kept: in memory for speed, in an SQLite file to survive restarts. Neither ever fails a request.

Both keep the promises of `contract.Store`. The rooms, from the top: `sqlite` is what the service talks to; `keeper` is the
one task behind it that opens the file, has the `writer` write what waits in the `backlog`, and mends what goes wrong by the
rules in `faults`; `database` is one opened file (its tables in `schema`, making room in `quota`, a row's bytes in `codec`);
`files` is everything about the file as a file: who may touch it, whose it is, and what is done with one that is not ours.
"""

from proxy.store.contract import Store
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store", "StoreCounters", "StoreSizes"]
