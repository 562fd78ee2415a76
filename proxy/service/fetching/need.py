"""What a caller needs of a call, and what the call brought: the fetcher's input and output."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from proxy.core.freshness.entry import Entry
from proxy.core.series.extents import Extents
from proxy.errors import UpstreamError
from proxy.service.tenancy import Tenant
from proxy.upstream.client import Parser
from proxy.upstream.exchange import Bounds


class Reason(StrEnum):
    """What a call is made for."""

    CLIENT = "client"
    """A query is asked as it came."""
    WIDER = "wider"
    """A wider question is asked, from whose answer others can be computed."""
    DELTA = "delta"
    """What is new of a live run is asked for."""
    IN_FULL = "in-full"
    """A name is asked for in full, since it is new, or what is known of it no longer fits."""
    PROBE = "probe"
    """An answer is proven whole."""
    LOAD = "load"
    """A long series is loaded, or what was loaded is checked."""
    ROTATION = "rotation"
    """A stretch of a long series is looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a flight brought.

    - `tenant`: whose it is, by the key that it was fetched with.
    - `stored`: whether the entry is stored.
    - `called`: whether the upstream was called. It wasn't where another flight had ended just before and its entry serves.
    - `elapsed_s`: how many seconds the upstream took.
    - `extents`: the answer taken apart, where the caller who began the flight gave a parser.
    """

    tenant: Tenant
    entry: Entry
    stored: bool
    called: bool = True
    elapsed_s: float = 0.0
    extents: Extents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a caller needs of a flight.

    - `not_before_s`: the wall time at which the flight must have begun, or later.
    - `persist`: whether the answer may be written to disk.
    - `landings`: how many flights had ended (`Fetcher.landings`) when the caller looked into the store.
    - `client`: in whose turn the call waits.
    - `urgent`: whether the caller has nothing in hand.
    - `prefetch`: whether nobody waits for it, or only a client who lets others go first: the call gives way to all others.
      `urgent` counts for more.
    - `refreshed_s`: when what the caller has in hand was fetched (wall time).
    - `deadline_s`: until when a caller with nothing in hand waits (monotonic clock), however many calls it takes.
    - `bounds`: how much an answer may hold, where that is less than usual.
    - `keep_answer`: whether the answer is stored as it came. It isn't where it is of use only when taken apart.
    - `on_failure`: called where the flight brings no 200, also where nobody waits for it any more. Its argument is the error,
      or None where the upstream answered with another status. It isn't called for UpstreamBusy and KeyRefused.
    - `accepts`: tells whether the entry of a flight that ended before is of use; None: any is.
    - `parser`: takes the answer apart; None: it isn't taken apart.
    - `reason`: what the call is made for, for the metrics.
    """

    not_before_s: float
    persist: bool
    landings: int
    client: str = ""
    urgent: bool = False
    prefetch: bool = False
    refreshed_s: float = 0.0
    deadline_s: float = math.inf
    bounds: Bounds | None = None
    keep_answer: bool = True
    on_failure: Callable[[UpstreamError | None], None] | None = None
    accepts: Callable[[Entry], bool] | None = None
    parser: Parser[Extents] | None = None
    reason: Reason = Reason.CLIENT

    def in_background(self, now_s: float, bounds: Bounds, reason: Reason, parser: Parser[Extents] | None) -> "Need":
        """Return what a question of our own needs that nobody waits for: its call gives way to all others."""
        return replace(
            self,
            keep_answer=False,
            urgent=False,
            prefetch=True,
            bounds=bounds,
            not_before_s=now_s,
            on_failure=None,
            accepts=None,
            parser=parser,
            reason=reason,
        )
