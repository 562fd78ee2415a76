"""What was purged, and what of all that is kept, or still on its way, that takes with it.

A purge names a project, a run, a metric, several of them, or nothing, which is everything. It takes what *may* hold something
of that: all but what names another project, other runs or another metric. A list of a project's runs goes with each of its
runs, a whole run's series with each of its metrics. It is a cache: what went in vain is asked for again.

It is about what pluto-api was asked before it: what is there is taken away by the stores, and what comes in later is held
against the purges of the last while, since calls may be under way, computations, writes and reads of the disk.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import unquote

from proxy.core.freshness.entry import Entry
from proxy.core.question.routes import DETAILS

# With more of them at a time the oldest count as one of everything.
MOST = 64
KEEP_S = 3600.0
# What stands before the target that a part of what is known is about.
_ABOUT = " of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """One purge: of what was asked for until `at_s` (wall time).

    `project`, `run` and `metric` are canonical texts, None for all of them. `soft`: answers are to be asked for again, and may
    be handed out only where pluto-api fails; else they are gone. What answers are computed from is gone either way.
    """

    at_s: float
    soft: bool = False
    project: str | None = None
    run: str | None = None
    metric: str | None = None

    def takes(self, key: str) -> bool:
        """Tell whether what is kept under a key (a target, or a part of what is known about one) may hold something of it."""
        if self.project is None and self.run is None and self.metric is None:
            return True
        if not is_answer(key) and _ABOUT not in key:
            return False  # a mark holds nothing of anything, and what it says goes on being true
        named = _named(key)
        return (
            self.project in {None, named.get("projectName", self.project)}
            and self.metric in {None, named.get("logName", self.metric)}
            and (self.run is None or self.run in named.get("runId", named.get("runIds", self.run)).split(","))
        )

    def remains_of(self, key: str, entry: Entry) -> Entry | None:
        """Return what remains of an entry: itself, marked as purged, or nothing."""
        if entry.oldest_asked_s > self.at_s or (self.soft and entry.purged) or not self.takes(key):
            return entry
        return replace(entry, purged=True) if self.soft and is_answer(key) else None


def is_answer(key: str) -> bool:
    """Tell whether an answer is kept under a key, and not what answers are computed from."""
    return key.startswith("/")


def _named(key: str) -> dict[str, str]:
    """Return the parameters in a key that say what it is about."""
    target = key if is_answer(key) else key.partition(_ABOUT)[2]
    path, _, query = target.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    named = {name: unquote(value) for name, _, value in pairs if name in {"projectName", "runId", "runIds", "logName"}}
    stem, slash, segment = path.rpartition("/")
    return named | {"runId": unquote(segment)} if stem + slash == DETAILS.stem else named


class Purges:
    """The purges of the last while. `count` tells whoever waited whether there was one meanwhile."""

    def __init__(self, *, keep_s: float = KEEP_S) -> None:
        """`keep_s`: longer than anything is on its way."""
        self._keep_s = keep_s
        self._purges: tuple[Purge, ...] = ()
        self.count = 0

    def add(self, purge: Purge) -> None:
        """Hold what comes in against this one as well."""
        self.count += 1
        self._purges = condensed((*(one for one in self._purges if one.at_s > purge.at_s - self._keep_s), purge))

    def remains_of(self, key: str, entry: Entry) -> Entry | None:
        """Return what remains of an entry that comes in: itself, marked as purged, or nothing."""
        return remains_after(self._purges, key, entry)

    def was_purged(self, key: str, asked_s: float) -> bool:
        """Tell whether what was asked for at a time (wall time) was purged since, be it softly."""
        return any(asked_s <= purge.at_s and purge.takes(key) for purge in self._purges)


def condensed(purges: tuple[Purge, ...]) -> tuple[Purge, ...]:
    """Return purges that take all that these do, and of many of them more: the oldest as one of everything."""
    if len(purges) <= MOST:
        return purges
    old, kept = purges[:-MOST], purges[-MOST:]
    return (Purge(at_s=max(one.at_s for one in old)), *kept)


def remains_after(purges: Iterable[Purge], key: str, entry: Entry) -> Entry | None:
    """Return what remains of an entry after some purges."""
    for purge in purges:
        remains = purge.remains_of(key, entry)
        if remains is None:
            return None
        entry = remains
    return entry
