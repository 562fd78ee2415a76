"""An entry as a row: the body is one zstd frame, and a checksum over everything, the seal, proves that a row is what was put.

The seal (BLAKE2b, 16 bytes) covers the namespace, the key and all fields of the entry, with the compressed body's hash in place
of the body. So it reveals a flipped bit as well as a row that a damaged index returns for the wrong key, and a namespace can be
renamed without reading the bodies. It guards against accidents, not against somebody who can write to the file.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType

from proxy.core.freshness.entry import Coding, Entry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEVEL = 3
# Marks before the digest, in this order, of an entry that was purged softly, and of one that is scant.
PURGED = b"!"
SCANT = b"~"
SEAL_BYTES = 16

# Compressing or decompressing a body of this size takes about 0.1 ms: from here on that is worth a thread.
LARGE_BYTES = 256 * 1024
_PART_BYTES = 2**20


class DamagedRowError(Exception):
    """A row is not what was put there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An entry as it is stored.

    `digest` is the entry's digest in ASCII, after the marks PURGED and SCANT where they apply. `blob` is the compressed body,
    `blob_hash` its hash, and `body_bytes` the length of the body after decompression.
    """

    namespace: str
    key: str
    sent_at_s: float
    digest: bytes
    body_bytes: int
    blob: bytes
    blob_hash: bytes
    seal: bytes


def hash_of(blob: bytes) -> bytes:
    """Return the hash that the seal holds in place of the compressed body."""
    return blake2b(blob, digest_size=SEAL_BYTES).digest()


def seal_of(*fields: object) -> bytes:
    """Return the seal over the fields, in this order: namespace, key, sent_at_s, digest, body_bytes, blob_hash.

    Fields may have any type, since those read from a damaged file may. ascii() writes each value in one way only, which is the
    same in every version of Python.
    """
    return blake2b(ascii(fields).encode("ascii"), digest_size=SEAL_BYTES).digest()


def row_of(namespace: str, key: str, entry: Entry) -> Row:
    """Return the entry as a row. Compresses its body unless the entry has its zstd form already (0.5 ms for 240 kB).

    Raises ValueError if the entry cannot be stored: a key that is not valid Unicode, or a time that is not a finite number.
    """
    if not math.isfinite(entry.sent_at_s):
        raise ValueError("sent_at_s is not a finite number")
    namespace.encode()
    key.encode()
    blob = entry.encoded.get(Coding.ZSTD) or zstd.compress(entry.body, LEVEL)
    # As SQLite returns it: a float, never -0.0.
    sent_at_s = float(entry.sent_at_s) + 0.0
    digest = (PURGED if entry.purged else b"") + (SCANT if entry.scant else b"") + entry.digest.encode()
    fields = (namespace, key, sent_at_s, digest, len(entry.body), hash_of(blob))
    return Row(
        namespace=namespace,
        key=key,
        sent_at_s=sent_at_s,
        digest=digest,
        body_bytes=len(entry.body),
        blob=blob,
        blob_hash=fields[-1],
        seal=seal_of(*fields),
    )


def verify(row: Row, *, not_after_s: float) -> None:
    """Raise DamagedRowError unless everything except the body is what was put, and was sent by `not_after_s` (wall time).

    After this, all fields but `blob` may be relied on.
    """
    if row.seal != seal_of(row.namespace, row.key, row.sent_at_s, row.digest, row.body_bytes, row.blob_hash):
        raise DamagedRowError("the row does not match its checksum")
    if row.sent_at_s > not_after_s:
        raise DamagedRowError("it was sent in the future")


def entry_of(row: Row) -> Entry:
    """Return the entry of a verified row, with its body decompressed and its zstd form kept.

    Raises DamagedRowError if the compressed body is not what was put, or if the decompressed one is not exactly `body_bytes`
    long. Decompresses one byte more than that at most.
    """
    if hash_of(row.blob) != row.blob_hash:
        raise DamagedRowError("the body does not match its checksum")
    encoded: Mapping[Coding, bytes] = MappingProxyType({Coding.ZSTD: row.blob})
    body = _decompress(row.blob, row.body_bytes)
    purged, marked = row.digest.startswith(PURGED), row.digest.removeprefix(PURGED)
    digest = marked.removeprefix(SCANT).decode()
    scant = marked.startswith(SCANT)
    return Entry(body=body, sent_at_s=row.sent_at_s, digest=digest, encoded=encoded, purged=purged, scant=scant)


def _decompress(blob: bytes, body_bytes: int) -> bytes:
    decompressor = zstd.ZstdDecompressor()
    parts: list[bytes] = []
    missing, given = body_bytes + 1, blob
    try:
        # In parts of 1 MiB: the decompressor joins what it returns while it holds the interpreter's lock.
        while missing and not decompressor.eof and (part := decompressor.decompress(given, min(missing, _PART_BYTES))):
            parts.append(part)
            missing -= len(part)
            given = b""
    except zstd.ZstdError as exc:
        raise DamagedRowError("the body cannot be decompressed") from exc
    body = b"".join(parts)
    if len(body) != body_bytes or not decompressor.eof or decompressor.unused_data:
        raise DamagedRowError("the body does not have its length")
    return body
