"""The read API as a table: what may be asked, with which parameters, and what an answer must look like."""

from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.document import check_metrics
from proxy.core.parameters import Parameter, Text, Whole

DEFAULT_LIMIT = 2000
MAX_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the read API.

    `path` is matched exactly. `check` raises ValueError where a body does not have the documented shape; its message must
    hold nothing of the body.
    """

    name: str
    path: str
    parameters: tuple[Parameter, ...]
    check: Callable[[bytes], None]


METRICS = Route(
    name="metrics",
    path="/api/runs/metrics",
    parameters=(
        # Published as optional, though the running code answers 400 without it: forwarded as it is.
        Parameter(name="runId", kind=Whole(minimum=0)),
        Parameter(name="projectName", kind=Text(empty_is_unset=False), required=True),
        Parameter(name="logName", kind=Text(empty_is_unset=True)),
        Parameter(name="logGroup", kind=Text(empty_is_unset=True)),
        Parameter(name="limit", kind=Whole(minimum=1, maximum=MAX_LIMIT), default=str(DEFAULT_LIMIT)),
        Parameter(name="stepMin", kind=Whole(minimum=0, zero_is_unset=True)),
        Parameter(name="stepMax", kind=Whole(minimum=0)),
    ),
    check=check_metrics,
)

ROUTES = (METRICS,)
ROUTES_BY_PATH = {route.path: route for route in ROUTES}
