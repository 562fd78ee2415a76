"""What a caller needs of a flight, and what the flight brought: the fetcher's input and output."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from proxy.core.freshness.entry import Entry
from proxy.core.series.extents import Extents
from proxy.errors import UpstreamError
from proxy.service.tenancy import Tenant
from proxy.upstream.client import Parser
from proxy.upstream.exchange import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a flight brought.

    `tenant`: whose it is, by the key that it was fetched with. `stored`: whether it is kept. `asked`: False where somebody
    else's flight had landed just before, and its entry serves. `elapsed_s`: how long the upstream took. `extents`: the answer
    taken apart, where the one who began the flight wanted that.
    """

    tenant: Tenant
    entry: Entry
    stored: bool
    asked: bool = True
    elapsed_s: float = 0.0
    extents: Extents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a caller needs of a flight.

    `not_before_s`: the wall time at which it must have begun or later. `persist`: the answer may be written to disk.
    `landings`: the count of landed flights when the caller looked into the store. `urgent`: the caller has nothing in hand.
    `refreshed_s`: when what the caller has in hand was fetched (wall time). `client`: who asks.
    `deadline_s`: until when who has nothing in hand waits (monotonic clock), however many calls it takes.
    `bounds`: how much an answer may hold, where that is less than usual. `keep`: False where the answer is of no
    use as it is, so that it isn't stored. `on_failure`: called where the flight brings no 200, with the error (None where
    the upstream answered something else), whoever still waits for it then, unless the upstream wants to be left alone or
    refuses the key. `accepts`: whether an answer that landed before is of use (None: any). `parser`: how to take the answer
    apart, if it is to be.
    """

    not_before_s: float
    persist: bool
    landings: int
    client: str = ""
    urgent: bool = False
    refreshed_s: float = 0.0
    deadline_s: float = math.inf
    bounds: Bounds | None = None
    keep: bool = True
    on_failure: Callable[[UpstreamError | None], None] | None = None
    accepts: Callable[[Entry], bool] | None = None
    parser: Parser[Extents] | None = None
