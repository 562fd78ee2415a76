"""The lifetimes of a question's answers: its route's, by its row or the configuration, and shorter for one-off questions."""

from collections.abc import Iterable, Mapping

from proxy.core.freshness.verdict import Lifetimes
from proxy.core.question.query import Query
from proxy.core.question.route import Route


class LifetimeTable:
    """The lifetimes of every row of the read API."""

    def __init__(
        self, general: Lifetimes, routes: Iterable[Route], configured: Mapping[str, float | None], *, moving_s: float
    ) -> None:
        """`configured`: freshness lifetimes by route, None for the row's own. `moving_s`: the most for one-off questions."""
        self.general = general
        self._usual: dict[str, Lifetimes] = {}
        self._moving: dict[str, Lifetimes] = {}
        for route in routes:
            own = (configured.get(route.name), route.fresh_s, general.fresh_s)
            fresh_s = next(seconds for seconds in own if seconds is not None)
            self._usual[route.name] = general.bounded(fresh_s=fresh_s, max_age_s=route.max_age_s)
            self._moving[route.name] = general.bounded(fresh_s=min(fresh_s, moving_s), max_age_s=route.max_age_s)

    def of(self, query: Query) -> Lifetimes:
        """Return the lifetimes of a question's answers."""
        return (self._moving if query.one_off else self._usual)[query.route.name]
