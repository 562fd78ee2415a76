"""The content codings that bodies are compressed with: gzip, and zstd for clients that accept it.

Brotli is no smaller at the same cost (docs/explanation/benchmarks.md).
"""

import gzip
import sys
from typing import assert_never

from proxy.core.freshness.entry import Coding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Level 1 packs metrics JSON as small as level 3 in half the time.
ZSTD_LEVEL = 1
GZIP_LEVEL = 6
# A smaller body fits into the packets that the headers need anyway.
LEAST_BYTES = 1_000


def encode(body: bytes, coding: Coding) -> bytes:
    """Return a body in a coding: the same bytes every time, as a strong entity tag promises."""
    match coding:
        case Coding.IDENTITY:
            return body
        case Coding.GZIP:
            return gzip.compress(body, GZIP_LEVEL, mtime=0)
        case Coding.ZSTD:
            return zstd.compress(body, ZSTD_LEVEL)
        case _:
            assert_never(coding)
