"""All series that clients watch, each read by one watcher, however many clients watch it.

Every change has a number, which grows. Who has been told of all changes up to a number, and comes back, is told of those after
it: a series that nobody has watched meanwhile is read again, and compared with what was known of it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from weakref import WeakValueDictionary

import structlog
from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.freshness.purge import Purges
from proxy.core.pieces import Work
from proxy.errors import ProxyError
from proxy.service.knowledge.shelves import Shelves
from proxy.service.tenancy import Tenancy
from proxy.service.watching.looking import Look, SeriesReader
from proxy.service.watching.subscription import Subscription
from proxy.service.watching.troubles import Trouble, trouble_of_condition
from proxy.service.watching.values import UNREAD, Series, SeriesState
from proxy.service.watching.watched_series import WatchedSeries
from proxy.settings import Settings
from proxy.slices import in_slices
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream

# How often, in seconds, it is looked which series are due, and what other requests have brought.
LOOK_S = 0.5
# Of so many series the states are remembered when nobody watches them any more.
_MOST_LEFT = 10_000
# So many series are read at once in the turn of one client.
MOST_AT_ONCE = 8
_log = structlog.get_logger()


class Watching:
    """Knows who watches what, has due series read, and tells of changes."""

    def __init__(
        self,
        *,
        reader: SeriesReader,
        shelves: Shelves,
        tenancy: Tenancy,
        purges: Purges,
        upstream: Upstream,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._reader = reader
        self._shelves = shelves
        self._tenancy = tenancy
        self._purges = purges
        self._upstream = upstream
        self._clock = clock
        self._settings = settings
        self._watched: dict[Series, WatchedSeries] = {}
        self._subscriptions: dict[Subscription, None] = {}
        self._left: LRUCache[Series, SeriesState] = LRUCache(_MOST_LEFT)
        self._reading: set[asyncio.Task[None]] = set()
        # Those that could not be read, or only stale, at the last time.
        self._troubled: set[Series] = set()
        self._anybody = asyncio.Event()
        self._number = 0
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._fingerprint = ""
        self._ground: tuple[str, float, int] = "", 0.0, 0
        self._changes_seen = -1
        self._statuses_seen = 0
        self._purges_seen = 0
        self._condition: Trouble | None = None

    @property
    def number(self) -> int:
        """The number of the last change."""
        return self._number

    @property
    def clients(self) -> int:
        """How many clients watch something."""
        return len(self._subscriptions)

    @property
    def series(self) -> int:
        """How many series are watched."""
        return len(self._watched)

    def series_with(self, more: Iterable[Series]) -> int:
        """Return how many series would be watched with some more, each given once."""
        return len(self._watched) + sum(one not in self._watched for one in more)

    @contextmanager
    def watch(self, series: Sequence[Series], *, client: str) -> Iterator[Subscription]:
        """Watch some series for as long as the context lasts. The upstream is asked in a client's turn."""
        subscription = Subscription(series, client=client)
        self._follow()
        self._subscriptions[subscription] = None
        self._anybody.set()
        for one in subscription.series:
            if (watched := self._watched.get(one)) is None:
                watched = self._watched[one] = WatchedSeries(one, self._left.pop(one, UNREAD))
            watched.add(subscription)
        try:
            self._begin_due()
            yield subscription
        finally:
            self._end(subscription)

    def states(self, subscription: Subscription, *, since: int = -1) -> list[tuple[Series, SeriesState]]:
        """Return the series of a subscription that have changed after a change with the number `since`, and their states."""
        states = ((series, self._watched[series].state) for series in subscription.series)
        return [(series, state) for series, state in states if state.number > since]

    def take_changes(self, subscription: Subscription) -> list[tuple[Series, SeriesState]]:
        """Return what a subscription is still to be told, in the order of the numbers: then any of them tells all before it."""
        changed = [(series, self._watched[series].state) for series in subscription.take()]
        return sorted(changed, key=lambda change: change[1].number)

    def trouble(self, subscription: Subscription) -> Trouble | None:
        """Return what keeps a subscription's series from being up to date, None where nothing does."""
        if self._condition is not None:
            return self._condition
        if not self._troubled:
            return None
        return next((self._watched[series].trouble for series in subscription.series if series in self._troubled), None)

    async def run(self) -> None:
        """Look round as long as anybody watches, until cancelled."""
        while True:
            await self._anybody.wait()
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except Exception:  # noqa: BLE001 -- whatever it is, the next look may succeed
                _log.exception("watching.crashed")

    async def look(self) -> None:
        """Look once at what has changed, and begin to read what is due."""
        self._follow()
        if self._changes_seen != self._shelves.changes:
            self._changes_seen = self._shelves.changes
            await in_slices(self._peeking())
        if self._statuses_seen != self._reader.status_changes:
            self._statuses_seen = self._reader.status_changes
            await in_slices(self._noting_statuses())
        self._begin_due()

    async def settled(self) -> None:
        """Wait until nothing is being read."""
        while self._reading:
            await asyncio.wait(self._reading)

    async def aclose(self) -> None:
        """End what is under way."""
        await end_tasks(self._reading)

    def _end(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription]
        for series in subscription.series:
            watched = self._watched[series]
            watched.remove(subscription)
            if not watched.is_watched:
                self._left[series] = self._watched.pop(series).state
                self._troubled.discard(series)
        if not self._subscriptions:
            self._anybody.clear()

    def _follow(self) -> None:
        """Look at what concerns all series: the upstream's condition, whose data the key reads, and purges."""
        condition = trouble_of_condition(self._upstream.condition())
        if condition != self._condition:
            self._condition = condition
            for subscription in self._subscriptions:
                subscription.wake()
        tenant = self._tenancy.current()
        if tenant.fingerprint != self._fingerprint:
            # Another key may see other data: what the one before saw is nobody's to be told any more.
            self._fingerprint = tenant.fingerprint
            self._take_back(self._watched.values())
        if (ground := self._ground_now()) != self._ground:
            self._ground = ground
            self._left.clear()
            for watched in self._watched.values():
                watched.read_soon()
        if self._purges.count != self._purges_seen:
            self._purges_seen = self._purges.count
            was_purged = self._purges.was_purged
            self._take_back([one for one in self._watched.values() if was_purged(one.series.query.target, one.looked_s)])

    def _take_back(self, some: Iterable[WatchedSeries]) -> None:
        """Tell that what is known of some series holds no longer, and remember nothing of those that nobody watches."""
        self._left.clear()
        for watched in some:
            if watched.state.version is not None:
                number = self._next()
                watched.note_purge(f"purged-{number}", number)

    def _ground_now(self) -> tuple[str, float, int]:
        """Return what all that is known stands on.

        That is whose data it is, since when the upstream's rule is believed in, and which settings say how old it may be.
        """
        return self._tenancy.current().namespace, self._shelves.forgotten_s, self._settings.version

    def _peeking(self) -> Work[None]:
        """Compare what memory knows of each series with what it was at the last look, with breaks."""
        for watched in list(self._watched.values()):
            look = self._reader.peek(watched.series, watched.extent)
            if look is not None and watched.note_rows(look, at_s=self._clock.now_s(), number=self._number + 1):
                self._number += 1
            yield None

    def _noting_statuses(self) -> Work[None]:
        """Have those series read soon whose runs have ended, or go on again, with breaks."""
        for watched in list(self._watched.values()):
            watched.note_status(self._reader.status_changes_of(watched.series))
            yield None

    def _begin_due(self) -> None:
        now_s = self._clock.monotonic_s()
        for watched in self._watched.values():
            if watched.is_due(now_s):
                self._begin(watched)

    def _begin(self, watched: WatchedSeries) -> None:
        subscription = watched.first
        task = asyncio.get_running_loop().create_task(
            self._read(watched, subscription.client), name="watching.read", context=subscription.context
        )
        watched.begin(task)
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, watched: WatchedSeries, client: str) -> None:
        before = self._purges.count, self._ground_now()
        try:
            look = await self._look_at(watched.series, client)
        except ProxyError as exc:
            watched.note_failure(exc, now_s=self._clock.monotonic_s())
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("watching.read_crashed")
            watched.note_failure(None, now_s=self._clock.monotonic_s())
        else:
            if before == (self._purges.count, self._ground_now()):
                at_s, now_s = self._clock.now_s(), self._clock.monotonic_s()
                self._number += watched.note_look(look, at_s=at_s, now_s=now_s, number=self._number + 1)
            else:
                watched.read_soon()  # it may tell what was purged meanwhile, or what the key before saw
        if watched.trouble is None:
            self._troubled.discard(watched.series)
        elif watched.is_watched:
            self._troubled.add(watched.series)

    async def _look_at(self, series: Series, client: str) -> Look:
        turns = self._turns.setdefault(client, asyncio.Semaphore(MOST_AT_ONCE))
        async with turns:
            # Reading what is fresh asks nobody, and lets nobody else have a turn on the event loop.
            await asyncio.sleep(0)
            return await self._reader.read(series, client=client)

    def _next(self) -> int:
        self._number += 1
        return self._number
