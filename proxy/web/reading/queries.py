"""Queries, each read once: dashboards send the same few over and over."""

from cachetools import LRUCache

from proxy.core.question.query import Query, read_query
from proxy.core.question.route import Route
from proxy.settings import Settings
from proxy.web.reading.unknown import UnknownParameters

# A query that was read is some hundred bytes; longer ones are rare, and a client that invents them must not fill the memory.
_MOST = 10_000
_LONGEST = 1_000


class QueryReader:
    """Reads queries with `core.question.query.read_query`, and remembers the results."""

    def __init__(self, settings: Settings, unknown: UnknownParameters) -> None:
        self._unknown = unknown
        self._settings = settings
        self._read: LRUCache[tuple[str, str, str], Query] = LRUCache(_MOST)
        # What was read depends on the parameters that are let through and dropped.
        settings.follow(self._read.clear)

    def read(self, route: Route, segment: str, raw: str) -> Query:
        """Return what a raw query asks of a route; `segment` is the path's raw last segment where the route leaves that open.

        Raises BadQuery and QueryTooLong, which are not remembered.
        """
        query = self._read.get((route.name, segment, raw))
        if query is None:
            upstream = self._settings.now.upstream
            ignored, extra = frozenset(upstream.ignored_params), frozenset(upstream.extra_params)
            query = read_query(route, raw, segment=segment, ignored=ignored, extra=extra)
            if len(raw) + len(segment) <= _LONGEST:
                self._read[route.name, segment, raw] = query
        self._unknown.note(query)
        return query
