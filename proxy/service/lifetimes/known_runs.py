"""What is known of runs and of the lists of those that are running, and when it is time to ask again.

- A project's list of running runs is asked for again after `status_s`, and believed for twice as long. A run counts as running
  unless it is absent from a list that young.
- A run's `details` are believed as long as the run stays absent from lists that follow each other within `CHAIN_S`: had it
  been resumed, it would have been in one of them. They are asked for again where that chain broke, when the run has been
  running, and after `ended_max_s`.
- What could not be learned is unknown, and isn't asked for again for `status_s`.

All of it belongs to a namespace, as entries do: a rotated key of the same organization keeps it. What is learned before the
organization is known is learned once more afterwards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.run_status import Listing, RunEnd, ended_fresh_s
from proxy.generation import Generation
from proxy.service.lifetimes.configured import ramp_of
from proxy.settings import Settings

_MOST_RUNS = 10_000
# Running runs in the lists of all projects; a project counts as one more.
_MOST_LISTED = 100_000
# A run is hardly resumed, trained and ended again in less time.
CHAIN_S = 300.0
# A run that no list has, and whose details don't say that it ended, is asked about after so long at the latest.
_LONGEST_WAIT_S = 3600.0


class RunKey(NamedTuple):
    """A run of a project, or a project (`run` is None).

    `owner` is a namespace or a key's fingerprint; `project` and `run` are canonical texts.
    """

    owner: str
    project: str
    run: str | None = None


class KnownStatus(NamedTuple):
    """What is known of a run's status, and what follows from it.

    `fresh_s`: for how many seconds an ended run's answers are fresh; None where it counts as running. `changes`: how often what
    is known of its status has changed (learning it first is no change), the last time at `changed_s` (wall time).
    """

    fresh_s: float | None
    changes: int
    changed_s: float


_UNKNOWN = KnownStatus(None, 0, -math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProjectLists:
    """What the lists of a project said. All times are wall times, except `again_s`.

    - `running`: the runs in the last complete list, which was asked for at `listed_s`.
    - `since_s`: the time of the first of the lists that have followed each other without a gap.
    - `again_s`: the list isn't asked for before (monotonic clock).
    """

    running: frozenset[str] = frozenset()
    listed_s: float = -math.inf
    since_s: float = -math.inf
    again_s: float = -math.inf


@dataclass(slots=True)
class _KnownRun:
    """What is known of a run that somebody looks at. All times are wall times, except `again_s`.

    - `ended`: how it ended, by its details; None where it is running or nobody knows. They were asked for at `details_asked_s`.
    - `is_known`: whether anything has been learned of it.
    - `last_listed_s`: the time of the last list that it was in.
    - `active_s`: when it was last known to be running, or its rows were last seen to change, whichever was later.
    - `again_s`: its details aren't asked for before (monotonic clock).
    - `wait_s`: for how long they were put off the last time, because they had told nothing.
    - `changes`: how often what is known of its status has changed, not counting that it was learned; the last time at
      `changed_s`.
    """

    ended: RunEnd | None = None
    details_asked_s: float = -math.inf
    is_known: bool = False
    last_listed_s: float = -math.inf
    active_s: float = -math.inf
    again_s: float = -math.inf
    wait_s: float = 0.0
    changes: int = 0
    changed_s: float = -math.inf

    def note_changed(self, now_s: float) -> None:
        """Note that its status is another one than was known."""
        self.changes += 1
        self.changed_s = now_s


class KnownRuns:
    """Remembers what was learned of runs, and says what must be learned."""

    def __init__(self, settings: Settings, clock: Clock, generation: Generation | None = None) -> None:
        """`generation` ends with whatever is noted: lifetimes may follow from it."""
        self._settings = settings
        self._clock = clock
        self._generation = generation or Generation()
        self._projects: LRUCache[RunKey, _ProjectLists] = LRUCache(_MOST_LISTED, getsizeof=lambda lists: len(lists.running) + 1)
        self._runs: LRUCache[RunKey, _KnownRun] = LRUCache(_MOST_RUNS)
        self.changes = 0
        """How often what is known of the status of any run has changed."""
        settings.follow(self._renew)

    def _renew(self) -> None:
        self._ramp = ramp_of(self._settings.now)

    @property
    def status_s(self) -> float:
        """After how many seconds a project's list is asked for again."""
        return self._settings.now.freshness.status_s

    def run(self, key: RunKey) -> _KnownRun:
        """Return what is known of a run. From now on its project's lists are searched for it."""
        run = self._runs.get(key)
        if run is None:
            run = self._runs[key] = _KnownRun()
            lists = self._lists(key)
            if key.run in lists.running:
                run.is_known, run.last_listed_s, run.active_s = True, lists.listed_s, lists.listed_s
        return run

    def known_status(self, key: RunKey, *, stood_s: Callable[[], float]) -> KnownStatus:
        """Return what is known of a run's status, and what follows for its answers.

        `stood_s` returns for how many seconds the series in question have been seen to stand still. It is asked only of runs
        that have ended.
        """
        run = self._runs.get(key)
        if run is None:
            return _UNKNOWN
        return KnownStatus(self._fresh_s(key, run, stood_s), run.changes, run.changed_s)

    def _fresh_s(self, key: RunKey, run: _KnownRun, stood_s: Callable[[], float]) -> float | None:
        if run.ended is None:
            return None
        lists, now_s = self._lists(key), self._clock.now_s()
        if not _in_chain(run, lists) or now_s - lists.listed_s > 2 * self.status_s:
            return None
        return ended_fresh_s(run.ended, now_s=now_s, happened_s=run.active_s, stood_s=stood_s(), ramp=self._ramp)

    def list_due(self, key: RunKey) -> bool:
        """Tell whether the list of a run's project is to be asked for. From now on lists are searched for the run."""
        self.run(key)
        lists = self._lists(key)
        old = self._clock.now_s() - lists.listed_s >= self.status_s
        return old and self._clock.monotonic_s() >= lists.again_s

    def details_due(self, key: RunKey) -> bool:
        """Tell whether a run's details are to be asked for: it isn't in a recent list, and why isn't known, or not any more."""
        lists, run, now_s = self._lists(key), self.run(key), self._clock.now_s()
        if key.run in lists.running or now_s - lists.listed_s > 2 * self.status_s:
            return False
        unknown = run.ended is None or not _in_chain(run, lists)
        too_old = now_s - run.details_asked_s >= max(self._ramp.ended_max_s, CHAIN_S)
        return (unknown or too_old) and self._clock.monotonic_s() >= run.again_s

    def listed_s(self, key: RunKey) -> float:
        """Return when the last complete list of a project was asked for (wall time)."""
        return self._lists(key).listed_s

    def details_asked_s(self, key: RunKey) -> float:
        """Return when a run's details were last asked for (wall time)."""
        return self.run(key).details_asked_s

    def note_list(self, key: RunKey, listing: Listing, asked_s: float) -> None:
        """Note a project's list. `asked_s`: when the first of its pages was asked for (wall time)."""
        self._generation.end()
        lists = self._lists(key)
        if listing.is_complete:
            unbroken = asked_s - lists.listed_s <= CHAIN_S
            since_s = lists.since_s if unbroken else asked_s
            lists = _ProjectLists(running=listing.running, listed_s=asked_s, since_s=since_s)
        else:
            lists = replace(lists, again_s=self._clock.monotonic_s() + self.status_s)
        self._projects[key] = lists
        for name in listing.running:
            self._note_running(key._replace(run=name), asked_s)

    def _note_running(self, key: RunKey, asked_s: float) -> None:
        """Note that a run is in a list, however complete that is."""
        run = self._runs.get(key)
        # Its details may be newer than the list.
        if run is None or run.details_asked_s > asked_s:
            return
        if run.ended is not None:
            self._note_changed(run)
        run.ended, run.is_known, run.last_listed_s = None, True, asked_s
        run.active_s = max(run.active_s, asked_s)
        run.again_s, run.wait_s = -math.inf, 0.0

    def note_details(self, key: RunKey, ended: RunEnd | None, asked_s: float) -> None:
        """Note a run's end by its details, None where they don't say so; `asked_s`: when they were asked for (wall time)."""
        self._generation.end()
        run = self.run(key)
        if run.last_listed_s >= asked_s:
            return
        if run.is_known and run.ended != ended:
            self._note_changed(run)
        run.ended, run.is_known, run.details_asked_s = ended, True, asked_s
        if ended is None:
            run.wait_s = min(max(self.status_s, 2 * run.wait_s), max(self.status_s, _LONGEST_WAIT_S))
            run.again_s = self._clock.monotonic_s() + run.wait_s
        else:
            run.wait_s = 0.0

    def _note_changed(self, run: _KnownRun) -> None:
        run.note_changed(self._clock.now_s())
        self.changes += 1

    def note_no_details(self, key: RunKey) -> None:
        """Note that a run's status could not be learned."""
        self.run(key).again_s = self._clock.monotonic_s() + self.status_s

    def note_change(self, key: RunKey, at_s: float) -> None:
        """Note that rows of a run were seen to change, or that it was seen to run, at a wall time."""
        self._generation.end()
        run = self.run(key)
        run.active_s = max(run.active_s, at_s)

    def _lists(self, key: RunKey) -> _ProjectLists:
        return self._projects.get(key._replace(run=None)) or _ProjectLists()


def _in_chain(run: _KnownRun, lists: _ProjectLists) -> bool:
    """Tell whether a run's details are still believed.

    They were asked for while the lists that have followed each other were, or `CHAIN_S` before the first at the earliest.
    """
    return run.details_asked_s >= lists.since_s - CHAIN_S
