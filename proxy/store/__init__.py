"""Where answers are kept: in memory for speed, in an SQLite file to survive restarts. Neither ever fails a request.

- `contract` says what every store promises, and `counters` what it counts.
- `tiers` joins the two stores: memory is asked first, then the file.
- `memory` is the first store, bounded in bytes.
- `sqlite` is the second one, a room of its own.
- `token_file` is about something else: the file with the tokens that clients send.
"""

from proxy.store.contract import Store, UnreadError
from proxy.store.counters import StoreCounters, StoreSizes
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store", "StoreCounters", "StoreSizes", "UnreadError"]
