"""Which runs have ended, as far as the upstream's answers prove it, and how long the answers about an ended run live.

**Proof.** Two questions prove that a run has ended. The list of a project's running runs is asked once for all of them; a run
that isn't in it may have ended, and then its `details` say so. Nothing else counts: a run is running until its own details name
a terminal status, in this project, with a time. Whatever is not understood counts as running. That costs calls; the opposite
would cost rows.

**The list** comes in pages, and runs start and end between two of them. So each page begins with the last run of the page
before it. Where that run is still in its place, every run that was running all the while is on one of the two pages, since runs
don't change their order. Where it isn't, or the totals differ, the list proves which runs are running, and nothing about
others. A full page is never the last one: the upstream may count the runs a moment after it has looked for them.

**The ramp.** No ended run is immutable: rows come late, and it may be resumed. So the lifetime of its answers grows with the
time since anything happened to it. The time of its end is what some client told, which may be importing a run of last year. So
the latest of these counts: that time, the last write to the run's record, when it was last known to be running, and when its
rows were last seen to change.

Whatever these say, an answer lives at most eleven times as long as its series had been seen to stand still when it was asked
for: after the first call there is another one after 5 seconds, after a minute, after twelve. Where the run's record wasn't
written for a day, which no client can feign, the first of these is left out, so that a dashboard of old runs costs no second
call for each run while it is being opened.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from proxy.core.surrogates import read_json

PAGE_ROWS = 200
_MOST_PAGES = 50
# Each page but the first begins with a known run, and the last one isn't full.
MOST_LISTED = _MOST_PAGES * (PAGE_ROWS - 1)
# Once a run has settled, its answers live for this share of the time since anything happened, and for _LEAST_S at least.
_FRACTION = 0.1
_LEAST_S = 300.0
# The next call comes when the time since the first one has grown to so many times what it was at the last one.
_STRETCH = 12.0
# Answers about a run whose record wasn't written for _QUIET_S live for _QUIET_FRESH_S from the first call on.
_QUIET_S, _QUIET_FRESH_S = 86_400.0, 60.0


class Terminal(StrEnum):
    """The statuses of a run that has ended."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """How and when a run ended.

    `at_s`: its `statusUpdated` as wall time, which is what a client told the upstream. `written_s`: the last write to the run's
    record, which the upstream notes itself (`updatedAt`, wall time); None where that isn't said. Rows are not in the record.
    """

    status: Terminal
    at_s: float
    written_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of the list: the runs' ids in its order (canonical texts), those that are running, and the list's length."""

    ids: tuple[str, ...]
    running: frozenset[str]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """How the lifetime of an ended run's answers grows, in seconds.

    For `settling_s` after the end they live as those of a running run, for `settling_failed_s` where the status is FAILED,
    which the upstream says also of runs that have merely been quiet. They never live longer than `ended_max_s`.
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

    A last write to the record that isn't understood is left out, since it could only shorten lifetimes.
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
        """The runs that are running for certain; others may be, too."""
        return frozenset(self._running)

    @property
    def is_complete(self) -> bool:
        """Whether it is proven that no other run than `running` was running all the while that the list took."""
        return not (self._broken or self._full) and len(self._ids) == self._total

    @property
    def offset(self) -> int | None:
        """Where the next page begins; None where there is none, or no use in it."""
        if self._broken or self.is_complete or self._pages >= _MOST_PAGES:
            return None
        return max(0, len(self._ids) - 1)

    def add(self, page: Page) -> None:
        """Add the page that begins at `offset`."""
        known = self._ids[-1:]
        self._broken = not self._fits(page, known)
        self._full = len(page.ids) >= self._page_rows
        self._ids += page.ids[len(known) :]
        self._running |= page.running
        self._total = page.total
        self._pages += 1

    def _fits(self, page: Page, known: list[str]) -> bool:
        """Tell whether the list can still become complete: the page continues the last one, within the same total."""
        news = page.ids[len(known) :]
        return (
            self._total in {None, page.total}
            and list(page.ids[: len(known)]) == known
            and (bool(news) or len(self._ids) == page.total)
            and len({*self._ids, *news}) == len(self._ids) + len(news) <= page.total <= MOST_LISTED
        )


def ended_fresh_s(ended: RunEnd, *, now_s: float, happened_s: float, stood_s: float, ramp: Ramp) -> float | None:
    """Return the lifetime of an ended run's answers in seconds; None: that of a running run's.

    `happened_s`: when it was last seen to run, or its rows to change (wall time; minus infinity: never). `stood_s`: for how
    many seconds the series in question has been seen to stand still. A run with a time in the future has not settled. The
    lifetime is never longer than the time since the run settled: what was asked for before may lack the last rows.
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
