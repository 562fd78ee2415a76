"""What the configuration says of lifetimes, in the form in which it is used."""

import math
from collections.abc import Sequence

from proxy.config import Config
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.question.route import Route
from proxy.core.run_status import Ramp


def ramp_of(config: Config) -> Ramp:
    """Return how the lifetimes of a run's answers grow after its end."""
    freshness = config.freshness
    return Ramp(
        settling_s=freshness.settling_s,
        settling_failed_s=freshness.settling_failed_s,
        ended_max_s=freshness.ended_max_s,
    )


def table_of(config: Config, routes: Sequence[Route]) -> LifetimeTable:
    """Return the lifetimes of the routes: for good, stale, where the upstream is never asked."""
    freshness = config.freshness
    general = Lifetimes(
        fresh_s=freshness.running_s,
        stale_while_revalidate_s=freshness.stale_while_revalidate_s,
        stale_if_error_s=max(freshness.stale_if_error_s, _for_good_s(config)),
        negative_s=freshness.negative_s,
        rewrite_check_s=config.series.rewrite_check_s,
        scant_s=freshness.running_s,
    )
    configured = config.lifetimes.model_dump()
    own = {route.name: configured.get(f"{route.name}_s", route.fresh_s) for route in routes}
    return LifetimeTable(general, routes, own, moving_s=config.lifetimes.moving_s)


def stale_if_error_ended_s(config: Config) -> float:
    """Return for how long answers about ended runs are served, stale, while the upstream fails."""
    return max(config.freshness.stale_if_error_ended_s, _for_good_s(config))


def _for_good_s(config: Config) -> float:
    return math.inf if config.upstream.offline else 0.0
