"""Long work on the event loop, in slices: between two of them everybody else has their turn.

A thread is no way out: what it does in Python, or in a library that keeps the interpreter's lock, holds everybody up as a slice
does; and after every system call the event loop would have to wait 5 ms for that lock. Only what lets go of it goes to one.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import TypeVar

from proxy.core.pieces import Work

SLICE_S = 0.001
# So much is copied in 0.3 ms, and into memory that is new to the process in three times as much.
_INLINE_BYTES = 2**20
T = TypeVar("T")


async def in_slices(work: Work[T]) -> T:
    """Carry work out and return its result; what takes less than a slice is done at once."""
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
    """Return bytes put together; large ones in a thread, since that lets go of the interpreter's lock."""
    if sum(map(len, parts)) < _INLINE_BYTES:
        return b"".join(parts)
    return await asyncio.to_thread(b"".join, parts)
