"""Bodies go out in portions: what a client doesn't read waits as bytes that all its readers share, not as a copy for each."""

from collections.abc import Iterator

# What a transport may be given at once; asyncio's copies what the kernel doesn't take. (Measured: with half of it, bodies of
# some hundred kB take twice as long; those of several MB go out faster than at once.)
PORTION_BYTES = 524_288


def portions(body: bytes) -> Iterator[memoryview]:
    """Yield a body in order, nothing of it copied. Between two of them others should have their turn (`asyncio.sleep(0)`)."""
    whole = memoryview(body)
    for start in range(0, len(body), PORTION_BYTES):
        yield whole[start : start + PORTION_BYTES]
