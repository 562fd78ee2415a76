"""How large the answer to a question of our own may be."""

from proxy.settings import Settings
from proxy.upstream.exchange import Bounds


def own_bounds(settings: Settings) -> Bounds:
    """Return the bounds. An answer that is too large to be kept would be fetched in vain."""
    series, cache = settings.now.series, settings.now.cache
    return Bounds(bytes=min(series.max_fetch_bytes, cache.max_object_bytes), rows=series.max_fetch_rows)
