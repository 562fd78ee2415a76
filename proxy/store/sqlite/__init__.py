"""Entries in an SQLite file.

Callers talk to `store`. It reads from the open file, and leaves whatever is to be written in the `backlog`. One task, the
`keeper`, does the rest. From the top:

| file | subject |
|---|---|
| `store` | the store as the service sees it: get, put, purge, adopt |
| `keeper` | the task that opens the file, has the backlog written, and mends what goes wrong |
| `reads` | reads in bounded time |
| `giving` | the file given to a process that takes over, and taken back |
| `held_file`, `warned` | the file and its lock: opened, checked, closed; what is warned of once |
| `writer` | one batch: how much it takes, and what is counted afterwards |
| `backlog`, `pending` | everything that is to be written; of that, the entries |
| `batch`, `database` | what one transaction writes; one open file, with its reads and that transaction |
| `presence` | which keys the file may hold, so that most misses need no read |
| `quota` | the size of the file and of its write-ahead log: making room, giving space back |
| `connections` | opening, closing and using SQLite's connections |
| `outlasting` | what goes on using the file where the disk does not answer |
| `schema`, `codec` | the tables and statements; an entry as a row, with its checksum |
| `versions` | files of other versions: older ones are taken over, newer ones are left whole |
| `purge_notes` | which purges were carried out, for copies of the file from before them |
| `carrying` | for the command line: listing, copying and taking in cache files |
| `faults` | what can go wrong with the file, and the remedy for each fault |
| `files` | the cache file as a file: permissions, the lock, setting a foreign or damaged one aside |
"""

from proxy.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
