"""Large bodies go out in chunks: what a client hasn't read yet is bytes that all readers share, not a copy for each."""

from collections.abc import Iterator

# What a transport may be given at once; asyncio's copies what the kernel doesn't take. (Measured: with half of it, bodies of
# some hundred kB take twice as long; those of several MB go out faster than at once.)
CHUNK_BYTES = 524_288


def chunks(body: bytes) -> Iterator[memoryview]:
    """Yield a body in order, without copying it. Between two chunks others should have their turn (`asyncio.sleep(0)`)."""
    whole = memoryview(body)
    for start in range(0, len(body), CHUNK_BYTES):
        yield whole[start : start + CHUNK_BYTES]
