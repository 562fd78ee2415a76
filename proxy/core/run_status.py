"""Which runs have ended, as far as the upstream's words prove it, and how long an ended run's answers live.

Two questions tell it. One list of a project's running runs is asked for all of them; a run that isn't in it may have ended, and
then its `details` say so. Nothing else counts: a run is running until its own details name a terminal status, in this project,
with a time. Whatever is not understood counts as running, which costs calls, where the opposite would cost rows.

The list comes in pages, and runs start and end between two of them. Each page begins with the last run of the one before it.
Where that run is still in its place, every run that was running all the while is on one of the two, since runs don't change
their order; where it is not, or the totals differ, the list says who is running and nothing about who is not. A full page is
never the last one: the upstream may count the runs a moment after it has looked for them.

No ended run is immutable: rows come late, and it may be resumed. So the lifetime of its answers grows with the time since
anything happened to it: the **ramp**. When it ended is what somebody says, who may be importing a run of last year; so what
counts is the latest of that, the last write to the run's record, when it was last known to be running, and when its rows were
last seen to change. And whatever these say, an answer lives eleven times as long as its series had been seen to stand still
when it was asked for, and no longer: after the first look there is another after 5 seconds, after a minute, after twelve. Where
the run's record wasn't written for a day, which nobody can feign, the first of these is left out: a dashboard of old runs costs
no second call for each of them while it is being opened."""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from proxy.core.surrogates import read_json

PAGE_ROWS = 200
_MOST_PAGES = 50
# Each page but the first begins with a run that is known, and the last one isn't full.
MOST_LISTED = _MOST_PAGES * (PAGE_ROWS - 1)
# Once a run has settled its answers live for a tenth of the time since then, and this at least.
_FRACTION = 0.1
_LEAST_S = 300.0
# Until the time since the first look at a series is so many times that of the last one.
_STRETCH = 12.0
# Of a run whose record wasn't written for so long answers live for so long at once.
_QUIET_S, _QUIET_FRESH_S = 86_400.0, 60.0


class Terminal(StrEnum):
    """The statuses of a run that has ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How a run ended, and when: `statusUpdated` as wall time, which is whatever was told to the upstream.

    `written_s`: the last write to the run's record, which it keeps account of itself (`updatedAt`); None where that isn't told.
    Writing rows is none.
    """

    status: Terminal
    at_s: float
    written_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the list, in its order: the runs' ids as canonical texts, those that are running, and how many there are."""

    ids: tuple[str, ...]
    running: frozenset[str]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How the lifetime of an ended run's answers grows, in seconds.

    Within `settling_s` they live as a running run's (`settling_failed_s` for FAILED: the upstream says so of runs that have
    merely been quiet), and never longer than `ended_max_s`.
    """

    settling_s: float
    settling_failed_s: float
    ended_max_s: float


class _Run(msgspec.Struct, gc=False):
    id: int
    status: str


class _List(msgspec.Struct):
    runs: list[_Run]
    total: int


class _Details(msgspec.Struct):
    id: int
    status: str
    projectName: str  # noqa: N815 -- the upstream's own field names
    statusUpdated: str  # noqa: N815 -- as above
    updatedAt: object = None  # noqa: N815 -- as above


_list = msgspec.json.Decoder(_List)
_details = msgspec.json.Decoder(_Details)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_page(body: bytes) -> Page | None:
    """Read a page of the list of running runs; None where it isn't understood. An unknown status counts as running."""
    try:
        said = read_json(_list, body)
    except _UNREADABLE:
        return None
    running = frozenset(str(run.id) for run in said.runs if _terminal(run.status) is None)
    return Page(ids=tuple(str(run.id) for run in said.runs), running=running, total=said.total)


def read_ended(body: bytes, *, run: str, project: str) -> RunEnd | None:
    """Read from its details how a run ended; None where it is running, is another project's, or is not understood.

    What is said of the last write to its record is left out where it isn't understood: it only ever shortens lifetimes.
    """
    try:
        said = read_json(_details, body)
    except _UNREADABLE:
        return None
    status, at_s = _terminal(said.status), _wall_s(said.statusUpdated)
    if status is None or at_s is None or (str(said.id), said.projectName) != (run, project):
        return None
    return RunEnd(status=status, at_s=at_s, written_s=_wall_s(said.updatedAt) if isinstance(said.updatedAt, str) else None)


class Listing:
    """The pages of one list, as far as they have come."""

    def __init__(self, *, page_rows: int = PAGE_ROWS) -> None:
        self._page_rows = page_rows
        self._ids: list[str] = []
        self._running: set[str] = set()
        self._total: int | None = None
        self._pages = 0
        self._full = self._broken = False

    @property
    def running(self) -> frozenset[str]:
        """Who is running for certain; who else may be is another matter."""
        return frozenset(self._running)

    @property
    def is_complete(self) -> bool:
        """Whether a run that isn't `running` was not running all the while that the list took."""
        return not (self._broken or self._full) and len(self._ids) == self._total

    @property
    def offset(self) -> int | None:
        """Where the next page begins; None where there is none, or no use in it."""
        if self._broken or self.is_complete or self._pages >= _MOST_PAGES:
            return None
        return max(0, len(self._ids) - 1)

    def add(self, page: Page) -> None:
        """Take the page that begins at `offset`."""
        known = self._ids[-1:]
        self._broken = not self._fits(page, known)
        self._full = len(page.ids) >= self._page_rows
        self._ids += page.ids[len(known) :]
        self._running |= page.running
        self._total = page.total
        self._pages += 1

    def _fits(self, page: Page, known: list[str]) -> bool:
        """Tell whether the list can still become complete: the page goes on where the last one ended, up to the total."""
        news = page.ids[len(known) :]
        return (
            self._total in {None, page.total}
            and list(page.ids[: len(known)]) == known
            and (bool(news) or len(self._ids) == page.total)
            and len({*self._ids, *news}) == len(self._ids) + len(news) <= page.total <= MOST_LISTED
        )


def ended_fresh_s(ended: RunEnd, *, now_s: float, happened_s: float, stood_s: float, ramp: Ramp) -> float | None:
    """Return how long an ended run's answers live; None for as long as a running one's.

    `happened_s`: when it was last seen to run, or its rows to change (wall time; minus infinity: never). `stood_s`: how long
    ago the series in question were first looked at, without a change since. Whatever lies in the future has not settled. No
    longer than since it settled: what was asked for before that may lack the last rows, and lives as a running run's.
    """
    told_s = ended.at_s if ended.written_s is None else max(ended.at_s, ended.written_s)
    since_s = now_s - max(told_s, happened_s)
    settling_s = max(0.0, ramp.settling_failed_s if ended.status is Terminal.FAILED else ramp.settling_s)
    # Written so that a time that is no number has not settled either.
    if not (math.isfinite(since_s) and since_s >= settling_s):
        return None
    quiet = ended.written_s is not None and since_s >= _QUIET_S
    by_looks_s = max(stood_s * (1 - 1 / _STRETCH), _QUIET_FRESH_S if quiet else 0.0)
    return max(0.0, min(max(_LEAST_S, since_s * _FRACTION), ramp.ended_max_s, since_s - settling_s, by_looks_s))


def _terminal(status: str) -> Terminal | None:
    return Terminal(status) if status in Terminal.__members__ else None


def _wall_s(text: str) -> float | None:
    """Return an ISO 8601 time as wall seconds; None for what isn't one, or names no zone and so could be off by hours."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.timestamp()
