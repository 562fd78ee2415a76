"""A cache file with the complete series of very many runs.

To load them from the upstream would take longer than all that is measured.
"""

import time
from dataclasses import replace
from pathlib import Path

from proxy.app import open_parts
from proxy.config import KeySource, load
from proxy.core.series.answers import split
from proxy.core.series.compacting import compacted
from proxy.core.series.extents import Extents
from proxy.core.series.metrics_query import MetricsQuery
from tests.bench.growing.origin import PROJECT
from tests.bench.growing.series import Series, Writing
from tests.bench.processes import Server
from tests.bench.world import MIB
from tests.support.world import KEY

NAME = Series(start_s=0.0, rows=0).name


def settings_of(origin: Server, folder: Path, mib: int) -> dict[str, str]:
    """Return the environment of a proxy whose cache file is in a folder, and whose series may take so many MiB of memory."""
    return {
        "PLUTO_API_KEY": KEY,
        "PLUTO_PROXY_UPSTREAM": f"http://127.0.0.1:{origin.port}",
        "PLUTO_PROXY_CACHE": str(folder / "cache.sqlite"),
        "PLUTO_PROXY_CACHE__MAX_BYTES": str(4_096 * MIB),
        "PLUTO_PROXY_SERIES__ENABLED": "true",
        "PLUTO_PROXY_SERIES__SHADOW_S": "0",
        "PLUTO_PROXY_SERIES__MEMORY_BYTES": str(mib * MIB),
        "PLUTO_PROXY_FRESHNESS__RUNNING_S": "3600",
        "PLUTO_PROXY_SERIES__REWRITE_CHECK_S": "3600",
    }


def body_of(series: Series) -> bytes:
    """Return the answer that has all rows of a series."""
    written = Writing(series)
    texts = (written.text(place, series.start_s) for place in range(series.rows))
    return ('{"metrics":[' + ",".join(texts) + "]}").encode()


async def put(settings: dict[str, str], body: bytes, runs: int) -> None:
    """Write the series of all runs into a cache file."""
    asked = MetricsQuery(run="1", project=PROJECT, name=NAME, group=None, limit=10**9, first=0, last=None)
    sent_at_s = time.time()
    known = compacted(split(body, asked, sent_at_s=sent_at_s))
    async with open_parts(load(None, settings).config, KeySource(value=KEY)) as parts:
        await parts.tenancy.settled()
        for run in range(1, runs + 1):
            question = replace(asked.in_full, run=str(run))
            extents = Extents(question=question, by_name=known.by_name, tail_asked_s=sent_at_s, full_asked_s=sent_at_s)
            parts.shelves.put(parts.tenancy.current(), extents, persist=True, joins=lambda _: False)
            await parts.shelves.settled()
            await parts.store.disk.flush()
