"""The head of what is stored of a selection's windows: it lists their packs and chunks (`core.series.packs`)."""

import msgspec

from proxy.core.series.extents import Known
from proxy.core.series.looks import Looks


class ChunkList(msgspec.Struct, frozen=True):
    """The chunks of one name: their digests, and what its rows begin with (Latin-1, so that any bytes are text)."""

    head: str
    digests: list[str]


# Two fields keep their older names in the file.
class Head(msgspec.Struct, frozen=True, rename={"tail_asked_s": "tail_at_s", "full_asked_s": "whole_at_s"}):
    """One window in a head.

    `packs`: digests. `unknown`: the names that aren't known in full. `ages`: (tail_asked_s, full_asked_s) by name, where they
    differ from the window's. `chunks` and `looks` (`core.series.looks`): by name, for long series.
    """

    first: int
    last: int | None
    tail_asked_s: float
    full_asked_s: float
    packs: list[str]
    unknown: dict[str, Known]
    ages: dict[str, tuple[float, float]]
    chunks: dict[str, ChunkList] = {}
    looks: dict[str, Looks] = {}


class Heads(msgspec.Struct, frozen=True):
    """What is stored of all windows of a selection."""

    # A change of the layout takes another number; a head with another number is not read.
    layout: int
    windows: list[Head]


# 2: only what was proven whole (`core.proof`). 3: long series have chunks.
LAYOUT, _READABLE = 3, frozenset({2, 3})
_heads = msgspec.json.Decoder(Heads)


def decoded(head: bytes) -> Heads:
    """Return a head that was stored. Raises ValueError where it cannot be read."""
    try:
        heads = _heads.decode(head)
    except msgspec.DecodeError as exc:
        raise ValueError(f"not a head of extents: {exc}") from None
    if heads.layout not in _READABLE:
        raise ValueError("the head of another version")
    return heads


def digests_of(head: bytes) -> list[str]:
    """Return the digests of the packs and chunks that a head lists. Raises ValueError where it cannot be read."""
    windows = decoded(head).windows
    packs = [digest for window in windows for digest in window.packs]
    return packs + [digest for window in windows for chunks in window.chunks.values() for digest in chunks.digests]
