"""When a body that comes in has come to a standstill."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from proxy.errors import UpstreamStalled

# What must come in within upstream.stall_s.
LEAST_BYTES = 4_096
# So often within upstream.stall_s it is looked at.
_LOOKS = 10


class Progress:
    """How much had come in at each of the last looks, which are `looks` to a period."""

    def __init__(self, *, looks: int = _LOOKS, least_bytes: int = LEAST_BYTES) -> None:
        self._least_bytes = least_bytes
        self._seen = deque([0], maxlen=looks + 1)

    def stands_still(self, received_bytes: int) -> bool:
        """Look once more: so many bytes have come in altogether. Tell whether the last period brought too few of them."""
        self._seen.append(received_bytes)
        return len(self._seen) == self._seen.maxlen and self._seen[-1] - self._seen[0] < self._least_bytes


@asynccontextmanager
async def unstalled(received_bytes: Callable[[], int], stall_s: float) -> AsyncIterator[None]:
    """Raise UpstreamStalled as soon as any `stall_s` seconds within have brought less than LEAST_BYTES.

    `received_bytes` are those of the body as the connection brings them: before they are decompressed, without their framing.
    Time is counted in looks, each of which is due a while after the one before: of a time in which this process was stopped,
    or its event loop busy, no more than one look counts. What came in meanwhile is seen at the next.
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
