"""The tables and the statements. `versions` has those of older files.

A file of this store has APPLICATION_ID and SCHEMA_VERSION in its header. The transaction that makes the tables writes them,
before the file is switched to write-ahead logging, so that the header alone tells what a file is.

Bodies have a table of their own. SQLite rewrites a whole row, however long, when one of its columns changes, which happens each
time that a use is noted or a namespace is renamed.
"""

from proxy.core.freshness.purge import Purge

APPLICATION_ID = 0x506C7550  # "PluP"
SCHEMA_VERSION = 2

# Purges that were carried out, so that a copy of the file from before them can be held against them.
CREATE_PURGES = """
    CREATE TABLE purges (at_s REAL NOT NULL, soft INTEGER NOT NULL, project TEXT, run TEXT, metric TEXT)
"""
# Since when: purges from before that are not known. It has one row.
CREATE_NOTED_SINCE = "CREATE TABLE purges_noted_since (at_s REAL NOT NULL)"
TABLES = (
    "CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        namespace_id INTEGER NOT NULL,
        key TEXT NOT NULL,
        sent_at_s REAL NOT NULL,
        digest BLOB NOT NULL,
        body_bytes INTEGER NOT NULL,
        blob_bytes INTEGER NOT NULL,
        blob_hash BLOB NOT NULL,
        seal BLOB NOT NULL,
        used_at_s REAL NOT NULL,
        UNIQUE (namespace_id, key)
    )
    """,
    "CREATE INDEX entries_by_use ON entries (used_at_s)",
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, blob BLOB NOT NULL)",
    """
    CREATE TABLE organizations (
        upstream TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        organization TEXT NOT NULL,
        seal BLOB NOT NULL,
        PRIMARY KEY (upstream, fingerprint)
    ) WITHOUT ROWID
    """,
    CREATE_PURGES,
    CREATE_NOTED_SINCE,
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

SELECT_ENTRY = """
    SELECT e.id, e.sent_at_s, e.digest, e.body_bytes, b.blob, e.blob_hash, e.seal
    FROM entries AS e LEFT JOIN bodies AS b ON b.id = e.id
    WHERE e.namespace_id = (SELECT id FROM namespaces WHERE name = ?) AND e.key = ?
"""

# All keys of the file. They are read from the indexes that SELECT_ENTRY uses, so that both agree even where a table is damaged.
# They are read as bytes: invalid text would break off the statement, and a connection with a broken-off statement doesn't see
# what is written later.
SELECT_NAMESPACES = "SELECT id, CAST(name AS BLOB) FROM namespaces INDEXED BY sqlite_autoindex_namespaces_1"
SELECT_USED_NAMESPACES = """
    SELECT CAST(name AS BLOB) FROM namespaces WHERE EXISTS (SELECT 1 FROM entries WHERE namespace_id = namespaces.id)
"""
# Parameters: the namespace's id and the key after which to go on, and how many rows.
SELECT_KEYS = """
    SELECT namespace_id, CAST(key AS BLOB) FROM entries INDEXED BY sqlite_autoindex_entries_1
    WHERE (namespace_id, key) > (?, ?) AND typeof(namespace_id) = 'integer' AND typeof(key) = 'text'
    ORDER BY namespace_id, key LIMIT ?
"""

# An entry that is older than the one in the file changes nothing. The body is written only if its row was (by the seal).
PUT_NAMESPACE = "INSERT OR IGNORE INTO namespaces (name) VALUES (?)"
PUT_ENTRY = """
    INSERT INTO entries
        (namespace_id, key, sent_at_s, digest, body_bytes, blob_bytes, blob_hash, seal, used_at_s)
    VALUES ((SELECT id FROM namespaces WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (namespace_id, key) DO UPDATE SET
        sent_at_s = excluded.sent_at_s, digest = excluded.digest, body_bytes = excluded.body_bytes,
        blob_bytes = excluded.blob_bytes, blob_hash = excluded.blob_hash, seal = excluded.seal, used_at_s = excluded.used_at_s
    WHERE excluded.sent_at_s >= entries.sent_at_s
"""
PUT_BODY = """
    INSERT OR REPLACE INTO bodies (id, blob) SELECT id, ? FROM entries
    WHERE namespace_id = (SELECT id FROM namespaces WHERE name = ?) AND key = ? AND seal = ?
"""

# Parameters: the time, the id, the time again.
TOUCH = "UPDATE entries SET used_at_s = ? WHERE id = ? AND used_at_s < ?"

# Parameter: a JSON array of ids.
DELETE_BODIES = "DELETE FROM bodies WHERE id IN (SELECT value FROM json_each(?))"
DELETE_ENTRIES = "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))"
# A damaged row is deleted only if nobody has replaced it since.
SELECT_DAMAGED = "SELECT id FROM entries WHERE id = ? AND seal IS ?"
SELECT_SUPERSEDED = """
    SELECT id FROM entries
    WHERE namespace_id = (SELECT id FROM namespaces WHERE name = ?) AND key = ? AND sent_at_s <= ?
"""
LEAST_RECENTLY_USED = "SELECT id, blob_bytes FROM entries ORDER BY used_at_s, id LIMIT 500"

SELECT_ORGANIZATION = "SELECT organization, seal FROM organizations WHERE upstream = ? AND fingerprint = ?"
PUT_ORGANIZATION = """
    INSERT INTO organizations (upstream, fingerprint, organization, seal) VALUES (?, ?, ?, ?)
    ON CONFLICT (upstream, fingerprint) DO UPDATE SET organization = excluded.organization, seal = excluded.seal
"""
# Where both namespaces hold a key, the row with the later sent_at_s stays. Parameters: the ids of the two.
SELECT_OUTDATED = """
    SELECT CASE WHEN old.sent_at_s > new.sent_at_s THEN new.id ELSE old.id END
    FROM entries AS old JOIN entries AS new ON new.key = old.key
    WHERE old.namespace_id = ? AND new.namespace_id = ?
"""
SELECT_OF = "SELECT id FROM entries WHERE namespace_id = ?"
# The seal covers the namespace's name, so it is made anew. A row whose seal is wrong is not moved: with a new seal
# it would pass for a good one.
# Parameters: id and name of the new namespace, a JSON array of ids, the name of the old one.
MOVE_ENTRIES = """
    UPDATE entries
    SET namespace_id = ?, seal = seal_of(?, key, sent_at_s, digest, body_bytes, blob_hash)
    WHERE id IN (SELECT value FROM json_each(?)) AND seal = seal_of(?, key, sent_at_s, digest, body_bytes, blob_hash)
"""


# What a purge takes, in all namespaces. Parameters: the time of the purge (wall time); true to take answers too, false to take
# only what answers are computed from; project, run and metric (NULL for all).
SELECT_PURGED = """
    SELECT id FROM entries WHERE sent_at_s <= ? AND (? OR substr(key, 1, 1) <> '/') AND takes(key, ?, ?, ?)
"""
# Which answers a soft purge marks. Parameters: the time of the purge (wall time), project, run and metric (NULL for all).
SELECT_MARKED = """
    SELECT id FROM entries
    WHERE sent_at_s <= ? AND substr(key, 1, 1) = '/' AND substr(digest, 1, 1) <> x'21' AND takes(key, ?, ?, ?)
"""
# The mark before the digest (`codec.PURGED`) says that the answer may only be used when the upstream fails.
# Parameter: a JSON array of ids.
MARK_PURGED = """
    UPDATE entries
    SET digest = CAST('!' || digest AS BLOB), seal = seal_of(
        (SELECT name FROM namespaces WHERE id = namespace_id),
        key, sent_at_s, CAST('!' || digest AS BLOB), body_bytes, blob_hash
    )
    WHERE id IN (SELECT value FROM json_each(?))
    AND seal = seal_of(
        (SELECT name FROM namespaces WHERE id = namespace_id), key, sent_at_s, digest, body_bytes, blob_hash
    )
"""


def takes(key: object, project: str | None, run: str | None, metric: str | None) -> bool:
    """Tell whether a purge takes what is stored under a key: the SQL function of the statements above."""
    # In a damaged file a key may have any type.
    return not isinstance(key, str) or Purge(at_s=0.0, project=project, run=run, metric=metric).takes(key)
