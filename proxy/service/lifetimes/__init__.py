"""How long answers live. A route has its lifetimes; those of a run that is known to have ended are longer.

`run_lifetimes` says which lifetimes hold for a query. It uses `known_runs` (which runs have ended, and when it is time to ask
again) and `sightings` (since when series have been seen to stand still). Nothing in here asks the upstream: other rooms do, and
note here what they learn.
"""

import math
from collections.abc import Sequence

from proxy.clock import Clock
from proxy.config import Config
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.freshness.verdict import Lifetimes
from proxy.core.question.route import Route
from proxy.core.run_status import Ramp
from proxy.service.lifetimes.known_runs import KnownRuns
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.lifetimes.sightings import Sightings


def make_known_runs(config: Config, clock: Clock) -> KnownRuns:
    """Make what knows which runs have ended."""
    freshness = config.freshness
    ramp = Ramp(
        settling_s=freshness.settling_s,
        settling_failed_s=freshness.settling_failed_s,
        ended_max_s=freshness.ended_max_s,
    )
    return KnownRuns(clock, status_s=freshness.status_s, ramp=ramp)


def make_lifetimes(config: Config, routes: Sequence[Route], known: KnownRuns, clock: Clock) -> RunLifetimes:
    """Make what says how long answers live: for good, stale, where the upstream is never asked."""
    freshness, for_good = config.freshness, math.inf if config.upstream.offline else 0.0
    general = Lifetimes(
        fresh_s=freshness.running_s,
        stale_while_revalidate_s=freshness.stale_while_revalidate_s,
        stale_if_error_s=max(freshness.stale_if_error_s, for_good),
        negative_s=freshness.negative_s,
        rewrite_check_s=config.series.rewrite_check_s,
        scant_s=freshness.running_s,
    )
    configured = config.lifetimes.model_dump()
    own = {route.name: configured.get(f"{route.name}_s", route.fresh_s) for route in routes}
    table = LifetimeTable(general, routes, own, moving_s=config.lifetimes.moving_s)
    ended_s = max(freshness.stale_if_error_ended_s, for_good)
    return RunLifetimes(table, known, Sightings(clock), clock, stale_if_error_ended_s=ended_s)
