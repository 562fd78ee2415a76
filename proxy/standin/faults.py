"""Misbehaviour on demand: a plan of faults that tests set, and what each call takes from it.

Of the faults that fit a call, the first that only holds it and the first that answers it both apply. So a latency for
good and three 503s can stand side by side.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

METRICS_PATH = "/api/runs/metrics"
ANY_PATH = "*"


class FaultKind(StrEnum):
    """What happens to a call, after the wait for the fault's `delay_s` and `gate`.

    - HOLD: nothing but that wait; then the true answer
    - STATUS: `status` with a JSON error
    - HTML: `status` with a firewall's HTML page
    - HANG: no answer, until the client goes away or the stand-in ends
    - CUT_HEADERS: the connection ends before any answer
    - CUT_BODY: the true answer up to `after_bytes` of its body (by default half of it), then the connection ends
    - NOT_JSON: 200 with `body`, by default something that isn't JSON
    - WRONG_SHAPE: 200 with `body`, by default JSON that is no answer to the question
    - REDIRECT: `status` (302 unless it is another 3xx) to `location`
    - HUGE: 200 with rows, `size_bytes` altogether, made while they are sent
    - GZIP: the true answer, gzipped whether the client takes that or not
    """

    HOLD = "hold"
    STATUS = "status"
    HTML = "html"
    HANG = "hang"
    CUT_HEADERS = "cut_headers"
    CUT_BODY = "cut_body"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    REDIRECT = "redirect"
    HUGE = "huge"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misbehaviour, for the next `times` calls that fit; None means for good.

    A call fits when its path is `path` (`*`: any), its raw query holds `query_contains`, and `matches(path, raw query)`
    says so. `delay_s` and `gate` hold it: before the rows are read, or with `late` after that.
    Retry-After is a number of seconds, or a date that many seconds after the answer's own Date.
    """

    kind: FaultKind = FaultKind.HOLD
    times: int | None = 1
    path: str = METRICS_PATH
    query_contains: str = ""
    matches: Callable[[str, str], bool] | None = None
    delay_s: float = 0.0
    gate: asyncio.Event | None = None
    late: bool = False
    status: int = 500
    retry_after_s: float | None = None
    retry_after_as_date: bool = False
    location: str = "/"
    size_bytes: int = 0
    after_bytes: int | None = None
    body: str | None = None

    def fits(self, path: str, query: str) -> bool:
        """Whether a call of this path and raw query is meant."""
        if self.path not in (ANY_PATH, path) or self.query_contains not in query:
            return False
        return self.matches is None or self.matches(path, query)


class PlannedFault:
    """A fault in the plan: how often it struck, how often it still will (None: for good)."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.hits = 0
        self.remaining = fault.times

    def strike(self) -> None:
        """One more call met it."""
        self.hits += 1
        if self.remaining is not None:
            self.remaining -= 1

    def stop(self) -> None:
        """Strike no more; calls that it holds go on being held."""
        self.remaining = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What one call takes from the plan: a wait, a misbehaviour, both or none."""

    hold: Fault | None = None
    answer: Fault | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those that apply, the hold first."""
        return tuple(fault for fault in (self.hold, self.answer) if fault is not None)


class Faults:
    """The plan. A fault that was added earlier comes first."""

    def __init__(self) -> None:
        self._planned: list[PlannedFault] = []

    def add(self, fault: Fault) -> PlannedFault:
        """Put a fault at the end of the plan."""
        planned = PlannedFault(fault)
        self._planned.append(planned)
        return planned

    def clear(self) -> None:
        """Behave from now on; calls that are held go on being held."""
        for planned in self._planned:
            planned.stop()
        self._planned.clear()

    def take(self, path: str, query: str) -> Fate:
        """What a call meets; it counts as struck."""
        self._planned = [planned for planned in self._planned if planned.remaining != 0]
        hold = self._strike(path, query, holds=True)
        answer = self._strike(path, query, holds=False)
        return Fate(hold=hold, answer=answer)

    def _strike(self, path: str, query: str, *, holds: bool) -> Fault | None:
        for planned in self._planned:
            if (planned.fault.kind is FaultKind.HOLD) is holds and planned.fault.fits(path, query):
                planned.strike()
                return planned.fault
        return None
