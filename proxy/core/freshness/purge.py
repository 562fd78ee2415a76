"""Purges: what they name, and which entries they take.

A purge names a project, a run, a metric or several of these; one that names nothing takes everything. It takes every entry that
*may* hold something of what it names: all but those that name another project, other runs or another metric. So a list of a
project's runs goes with each of its runs, and the series of a whole run go with each of its metrics. An entry that went without
need is fetched again.

A purge takes what pluto-api was asked for before it. The stores remove what they hold at that time. What comes in later (from
calls, computations, writes and reads of the disk that were under way) is held against the purges of the last while.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from proxy.core.freshness.entry import Entry
from proxy.core.question.batch import named_in
from proxy.core.question.routes import CHART_DATA, DETAILS

# Beyond so many purges the oldest ones count as one purge of everything.
MOST = 64
KEEP_S = 3600.0
# In the keys of extents (`service.knowledge.pack_files`) the target follows this.
_ABOUT = " of "
# The parameters in a key that say what the entry is about.
_NAMING = frozenset({"projectName", "runId", "runIds", "logName", "input"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One purge: of what was asked for until `at_s` (wall time).

    `project`, `run` and `metric` are canonical texts, None for all. `soft`: answers stay, and are served only where pluto-api
    fails; otherwise they are removed. What answers are computed from is removed either way.
    """

    at_s: float
    soft: bool = False
    project: str | None = None
    run: str | None = None
    metric: str | None = None

    def takes(self, key: str) -> bool:
        """Tell whether the entry under a key (a target, or the key of extents) may hold something of what the purge names."""
        if self.project is None and self.run is None and self.metric is None:
            return True
        if not is_answer(key) and _ABOUT not in key:
            return False  # such a mark holds no data, and stays true
        about = _about(key)
        return _may_be(self.project, about.projects) and _may_be(self.run, about.runs) and _may_be(self.metric, about.metrics)

    def remains_of(self, key: str, entry: Entry) -> Entry | None:
        """Return what the purge leaves of an entry: itself, a copy marked as purged, or None."""
        if entry.oldest_asked_s > self.at_s or (self.soft and entry.purged) or not self.takes(key):
            return entry
        return replace(entry, purged=True) if self.soft and is_answer(key) else None


def is_answer(key: str) -> bool:
    """Tell whether a key is that of an answer, and not of what answers are computed from."""
    return key.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class _About:
    """What an entry is about, as far as its key tells; None: anything."""

    projects: frozenset[str] | None = None
    runs: frozenset[str] | None = None
    metrics: frozenset[str] | None = None


def _may_be(named: str | None, among: frozenset[str] | None) -> bool:
    return named is None or among is None or named in among


def _about(key: str) -> _About:
    target = key if is_answer(key) else key.partition(_ABOUT)[2]
    path, _, query = target.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    named = {name: unquote(value) for name, _, value in pairs if name in _NAMING}
    if path == CHART_DATA.path:
        project, metrics = named_in(named["input"])
        # Its run ids aren't numbers: any of them may be the run that a purge names.
        return _About(projects=frozenset({project}), metrics=metrics)
    stem, slash, segment = path.rpartition("/")
    if stem + slash == DETAILS.stem:
        named["runId"] = unquote(segment)
    runs = named.get("runId", named.get("runIds"))
    return _About(
        projects=_only(named.get("projectName")),
        runs=None if runs is None else frozenset(runs.split(",")),
        metrics=_only(named.get("logName")),
    )


def _only(name: str | None) -> frozenset[str] | None:
    return None if name is None else frozenset({name})


class Purges:
    """The purges of the last while. `count`: how many there ever were, by which whoever waited sees that there was another."""

    def __init__(self, *, keep_s: float = KEEP_S) -> None:
        """`keep_s`: how long a purge is kept, longer than any entry is on its way."""
        self._keep_s = keep_s
        self._purges: tuple[Purge, ...] = ()
        self.count = 0

    def keep_for(self, keep_s: float) -> None:
        """Keep purges so long from now on, but no shorter than before: what is on its way was sent in a time of before."""
        self._keep_s = max(self._keep_s, keep_s)

    def add(self, purge: Purge) -> None:
        """Add a purge: what comes in from now on is held against it, too."""
        self.count += 1
        self._purges = condensed((*(one for one in self._purges if one.at_s > purge.at_s - self._keep_s), purge))

    def knows(self, purge: Purge) -> bool:
        """Tell whether a purge was added lately."""
        return purge in self._purges

    def remains_of(self, key: str, entry: Entry) -> Entry | None:
        """Return what the purges leave of an entry that comes in: itself, a copy marked as purged, or None."""
        return remains_after(self._purges, key, entry)

    def was_purged(self, key: str, asked_s: float) -> bool:
        """Tell whether what was asked for at a wall time was purged since, softly or not."""
        return any(asked_s <= purge.at_s and purge.takes(key) for purge in self._purges)


def condensed(purges: tuple[Purge, ...]) -> tuple[Purge, ...]:
    """Return at most MOST purges that take at least what these do: the oldest become one purge of everything."""
    if len(purges) <= MOST:
        return purges
    old, kept = purges[:-MOST], purges[-MOST:]
    return (Purge(at_s=max(one.at_s for one in old)), *kept)


def remains_after(purges: Iterable[Purge], key: str, entry: Entry) -> Entry | None:
    """Return what some purges leave of an entry: itself, a copy marked as purged, or None."""
    for purge in purges:
        remains = purge.remains_of(key, entry)
        if remains is None:
            return None
        entry = remains
    return entry
