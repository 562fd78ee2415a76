"""Ending a call whose body stands still."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.errors import UpstreamStalled

# What must be received within upstream.stall_s.
LEAST_BYTES = 4_096
# How often progress is checked within upstream.stall_s.
_LOOKS = 10


class Progress:
    """How many bytes had been received at each of the last looks; there are `looks` of them in a period."""

    def __init__(self, *, looks: int = _LOOKS, least_bytes: int = LEAST_BYTES) -> None:
        self._least_bytes = least_bytes
        self._seen = deque([0], maxlen=looks + 1)

    def stands_still(self, received_bytes: int) -> bool:
        """Note how many bytes were received altogether. Tell whether the last period brought less than `least_bytes`."""
        self._seen.append(received_bytes)
        return len(self._seen) == self._seen.maxlen and self._seen[-1] - self._seen[0] < self._least_bytes


@asynccontextmanager
async def stall_limit(received_bytes: Callable[[], int], stall_s: float) -> AsyncIterator[None]:
    """Raise UpstreamStalled within the block as soon as `stall_s` seconds have brought less than LEAST_BYTES.

    `received_bytes` returns the bytes of the body received so far, before decompression and without framing. Time is counted in
    looks, each of which is due a while after the one before it. So a time in which this process was stopped, or its event loop
    was busy, counts as one look at most, and the next look sees what was received meanwhile.
    """
    loop, progress = asyncio.get_running_loop(), Progress()
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        nonlocal timer
        if progress.stands_still(received_bytes()):
            limit.reschedule(loop.time())
        else:
            timer = loop.call_later(stall_s / _LOOKS, look)

    try:
        async with asyncio.timeout(None) as limit:
            timer = loop.call_later(stall_s / _LOOKS, look)
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise UpstreamStalled(
            f"the upstream's answer came to a standstill: less than {LEAST_BYTES} bytes within {stall_s:g} s (upstream.stall_s)"
        ) from None
    finally:
        if timer is not None:
            timer.cancel()
