"""Long work on the event loop, in slices, between which other tasks have their turn.

A thread would not help. Work in Python, or in a library that keeps the interpreter's lock, holds the event loop up in a thread
as well; and after every system call the loop would wait 5 ms for that lock. Only work that releases the lock goes to a
thread.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import TypeVar

from proxy.core.pieces import Work

SLICE_S = 0.001
# So many bytes are copied in 0.3 ms, or in 0.9 ms into memory that is new to the process.
_INLINE_BYTES = 2**20
T = TypeVar("T")


async def in_slices(work: Work[T]) -> T:
    """Carry work out and return its result, with a turn for other tasks after each slice of SLICE_S."""
    until_s = perf_counter() + SLICE_S
    try:
        parts = next(work)
        while True:
            whole = b"" if parts is None else await joined(parts)
            if perf_counter() >= until_s:
                await asyncio.sleep(0)
                until_s = perf_counter() + SLICE_S
            parts = work.send(whole)
    except StopIteration as done:
        result: T = done.value
        return result


async def joined(parts: Sequence[bytes]) -> bytes:
    """Return bytes joined; large ones are joined in a thread, since that releases the interpreter's lock."""
    if sum(map(len, parts)) < _INLINE_BYTES:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)
