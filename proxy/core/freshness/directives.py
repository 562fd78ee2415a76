"""What a request's `Cache-Control` (RFC 9111 section 5.2.1) and `Priority` demand. The proxy's own limits bound all of it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one request demands.

    `max_age_s`: the greatest age in seconds that it accepts, infinite without a demand. `no_store`: the answer must not be
    written to disk. `only_if_cached`: the upstream must not be asked. `in_background`: nobody waits for the answer, so that a
    call for it gives way to all others.
    """

    max_age_s: float = math.inf
    no_store: bool = False
    only_if_cached: bool = False
    in_background: bool = False


NO_DEMAND = Demand()


def read_demand(cache_control: str, pragma: str, *, fresh_s: float, floor_s: float) -> Demand:
    """Read a request's Cache-Control; where there is none, its `Pragma: no-cache` (RFC 9111 section 5.4).

    `fresh_s`: the freshness lifetime, from which min-fresh is subtracted. `floor_s`: a smaller age cannot be demanded, since
    browsers send no-cache with every poll. Unknown directives are ignored. An unreadable number counts as 0, the strictest.
    max-stale only widens a max-age; how stale an answer may be is otherwise up to the proxy's own limits.
    """
    if not cache_control and not pragma:
        return NO_DEMAND
    said = _directives(cache_control or ("no-cache" if "no-cache" in pragma.lower() else ""))
    ages = [_seconds(said["max-age"]) + _max_stale(said)] if "max-age" in said else []
    if "min-fresh" in said:
        ages.append(fresh_s - _seconds(said["min-fresh"]))
    if "no-cache" in said or "no-store" in said:
        ages.append(0.0)
    return Demand(
        max_age_s=max(floor_s, min(ages)) if ages else math.inf,
        no_store="no-store" in said,
        only_if_cached="only-if-cached" in said,
    )


def is_in_background(priority: str) -> bool:
    """Tell whether a request's Priority has the urgency that is for background tasks (RFC 9218 section 4.1): 7."""
    return _directives(priority).get("u") == "7"


def _directives(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name:
            found.setdefault(name.strip().lower(), value.strip().strip('"'))
    return found


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _max_stale(said: dict[str, str]) -> float:
    if "max-stale" not in said:
        return 0.0
    return _seconds(said["max-stale"]) if said["max-stale"] else math.inf
