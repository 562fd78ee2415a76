"""What is known of a request while it is being answered."""

from dataclasses import dataclass

from aiohttp import web

from proxy.web.gate.guard import Visit


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """A request, who sent it (`visit`), the id by which it is known, and when it came (`started_s`, monotonic clock).

    `route` is the name of the route that it is for, `none` until one matched. `outcome` is how it was answered: an outcome's
    kind (`core.freshness.outcome`), an error's code, or `own` where the answer is about the proxy itself.
    """

    request: web.BaseRequest
    visit: Visit
    request_id: str
    started_s: float
    route: str = "none"
    outcome: str = "own"

    def matched(self, route: str) -> None:
        """Note which route the request is for."""
        self.route = route

    def ended(self, outcome: str) -> None:
        """Note how the request was answered."""
        self.outcome = outcome
