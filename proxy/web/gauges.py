"""The states and counts that the parts keep themselves, shown as metrics."""

from proxy.core.plan import Condition
from proxy.web.keys import Parts


def expose(parts: Parts) -> None:
    """Let the metrics read the parts' own numbers."""
    gauge, count = parts.telemetry.gauge, parts.telemetry.count
    upstream, memory, disk = parts.upstream, parts.store.memory, parts.store.disk
    count("requests_received", "Requests received, answered or not", lambda: parts.requests)
    gauge("upstream_in_flight", "Questions being asked upstream now", lambda: parts.fetcher.in_flight)
    gauge("key_refused", "1 while the upstream refuses the shared key", lambda: upstream.condition() is Condition.KEY_REFUSED)
    gauge("cooldown_remaining_seconds", "Time until the upstream is asked again", lambda: upstream.cooldown.remaining_s)
    count("cooldowns", "Times that the upstream asked to be left alone", lambda: upstream.cooldown.begun)
    count("unknown_parameter_requests", "Requests with parameters that were dropped", lambda: parts.unknown.requests)
    gauge("store_bytes", "What the entries take", lambda: memory.size_bytes, store="memory")
    gauge("store_bytes", "What the entries take", lambda: disk.sizes.file_bytes, store="disk")
    gauge("store_entries", "Entries held", lambda: memory.entries, store="memory")
    gauge("store_entries", "Entries held", lambda: disk.sizes.entries, store="disk")
    count("store_evictions", "Entries removed to make room", lambda: memory.evictions, store="memory")
    count("store_evictions", "Entries removed to make room", lambda: disk.counters.evictions, store="disk")
    gauge("store_healthy", "1 while the cache file can be used", lambda: disk.health is None)
    count("store_errors", "Faults of the cache file", lambda: disk.counters.errors)
    count("store_dropped", "Entries that could not be written", lambda: disk.counters.dropped)
    count("store_writes", "Entries written", lambda: disk.counters.writes)
    count("store_corrupt", "Entries that failed their checksum", lambda: disk.counters.corrupt)
    count("store_set_aside", "Cache files set aside", lambda: disk.counters.set_aside)
