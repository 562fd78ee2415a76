"""The version of a series: a text that changes whenever a row of it changes, comes or goes."""

from collections.abc import Iterable

from proxy.core.freshness.entry import digest_of
from proxy.core.series.extents import Extent
from proxy.core.view.blocks import Block, blocks


def version_of(extent: Extent) -> str:
    """Return the version of the rows of an extent (32 hex digits).

    It is the same whether or not the extent's chunks are in memory, and after a restart. It may also change where no row did:
    if rows move into chunks, which happens once in some thousand rows.
    """
    return version_of_blocks(extent.head, blocks(extent))


def version_of_blocks(head: bytes, parts: Iterable[Block]) -> str:
    """Return the version of rows by their blocks; `head` is what all rows begin with."""
    return digest_of(b"\0".join([head, *(part.name.encode() for part in parts)]))


NO_ROWS = version_of_blocks(b"", ())
"""The version of a series that has no rows."""
