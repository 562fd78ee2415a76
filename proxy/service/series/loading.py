"""Long series loaded in the background, once that pays.

A series that one answer cannot hold is asked for by each question as it came. What these cost is counted, and
`core.series.load_costs` says when it pays to load the series instead: `service.series.load` asks for its windows. From then on
it is like any other series: answers about it are computed, and a delta refreshes it. Where only parts of it were asked for, one
question about all of it (a **survey**) tells where it has rows, and so whether it pays.

A load gives way to everything that somebody waits for, and there is one at a time. What has come so far is kept as a window of
the series, from its first step on. An interrupted load goes on from there.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any

import structlog
from cachetools import TTLCache

from proxy.clock import Clock
from proxy.core.proof.loaded import only_extent, without_last
from proxy.core.series.extents import Extents, Known, window_of
from proxy.core.series.growth import overlap_from
from proxy.core.series.load_costs import SEEN_S, Prices, pays
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import most_apart
from proxy.core.series.windows import Marks
from proxy.errors import AnswerTooLarge, UpstreamError
from proxy.service.fetching.need import Need
from proxy.service.knowledge.learner import Learner
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.series.load import Load, NotLoaded, WindowLoader
from proxy.service.tenancy import Tenant
from proxy.settings import Settings
from proxy.tasks import end_tasks

_MOST_WATCHED, _MOST_QUESTIONS = 1_000, 1_000
# A series isn't loaded again for so many seconds, whether it could be loaded or not; one whose load was interrupted for a few.
_AGAIN_S, _PAUSE_S = 300.0, 10.0
# For so many seconds it is remembered how many rows a series turned out to have, and that they come too fast.
_MEASURED_S = 3600.0
# A refresh of a live series asks for this share at most of the rows that an answer may hold: new ones come with them.
_MOST_OVERLAP = 0.75
# An interrupted load has this share of an answer's rows asked for again: its check needs a large answer that has just come.
_AGAIN_SHARE = 4
# A series that somebody wants to see all of is loaded once that was wanted so often within SEEN_S.
_WANTED = 2
_log = structlog.get_logger()


class Loader:
    """Loads long series."""

    def __init__(
        self,
        *,
        windows: WindowLoader,
        learner: Learner,
        shelves: Shelves,
        lifetimes: RunLifetimes,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._windows = windows
        self._learner = learner
        self._shelves = shelves
        self._lifetimes = lifetimes
        self._clock = clock
        self._settings = settings
        # By series: when questions about it were asked as they came (monotonic clock), and what each cost.
        self._asked: TTLCache[MetricsQuery, deque[tuple[float, int]]] = self._cache(SEEN_S)
        # How often somebody wanted to see all of a series.
        self._wanted: TTLCache[MetricsQuery, int] = self._cache(SEEN_S)
        self._tried: TTLCache[MetricsQuery, None] = self._cache(_AGAIN_S)
        self._too_fast: TTLCache[MetricsQuery, None] = self._cache(_MEASURED_S)
        self._paused: TTLCache[MetricsQuery, None] = self._cache(_PAUSE_S)
        self._measured: TTLCache[MetricsQuery, int] = self._cache(_MEASURED_S)
        # Zooms push what a survey brought off the shelf.
        self._surveyed: TTLCache[MetricsQuery, Marks | None] = self._cache(_AGAIN_S)
        self._running: asyncio.Task[None] | None = None
        self.begun = self.finished = self.given_up = 0
        """How many loads were begun, finished, and given up since they could not be finished."""

    @property
    def in_flight(self) -> int:
        """How many series are being loaded now."""
        return int(self._running is not None)

    def note(self, tenant: Tenant, question: MetricsQuery, need: Need) -> None:
        """Note a question that has to be asked as it came. Perhaps begin to load its series."""
        series = question.in_full
        if question.name is None or series in self._tried or series in self._too_fast:
            return
        marks = self._marks(tenant, series)
        rows = self._rows_of(series, marks)
        self._note_cost(series, self._settings.now.series.call_cost_rows + min(question.limit, rows or question.limit))
        # Whoever asks about all of it has been told what a survey would tell.
        self._begin_if_it_pays(tenant, series, need, marks, may_survey=question.densest != series)

    def want(self, tenant: Tenant, series: MetricsQuery, need: Need) -> None:
        """Note that somebody wants to see all rows of a series; who does so again goes on looking at it, and it is loaded."""
        self._wanted[series] = self._wanted.get(series, 0) + 1
        if series not in self._tried and series not in self._too_fast:
            self._begin_if_it_pays(tenant, series, need, self._marks(tenant, series), may_survey=False)

    def _begin_if_it_pays(
        self, tenant: Tenant, series: MetricsQuery, need: Need, marks: Marks | None, *, may_survey: bool
    ) -> None:
        rows = self._rows_of(series, marks)
        if self._running is not None or series in self._paused or rows > self._settings.now.series.max_rows:
            return
        if marks is None:
            if may_survey and self._deserves_survey(tenant, series):
                self._begin(self._guarded(series, self._survey(tenant, series, need)))
        elif self._pays(tenant, series, max(0, rows - _rows(self._left_behind(series, self._shelves.peek(tenant, series))))):
            self._begin(self._guarded(series, self._load(tenant, series, marks, need)))

    def _rows_of(self, series: MetricsQuery, marks: Marks | None) -> int:
        """Return the least that a series can have, or how many rows it has, where the first window of a load has told that."""
        return 0 if marks is None else self._measured.get(series, int(len(marks.steps) * min(2, marks.apart)))

    async def aclose(self) -> None:
        """End what is under way."""
        await end_tasks([self._running])

    def _cache(self, ttl_s: float) -> TTLCache[MetricsQuery, Any]:
        return TTLCache(_MOST_WATCHED, ttl_s, timer=self._clock.monotonic_s)

    def _note_end(self) -> None:
        self._running = None

    def _note_cost(self, series: MetricsQuery, cost: int) -> None:
        asked = self._asked.get(series) or deque[tuple[float, int]](maxlen=_MOST_QUESTIONS)
        asked.append((self._clock.monotonic_s(), cost))
        while asked[0][0] <= asked[-1][0] - SEEN_S:
            asked.popleft()
        self._asked[series] = asked

    def _pays(self, tenant: Tenant, series: MetricsQuery, rows: int) -> bool:
        if self._wanted.get(series, 0) >= _WANTED:
            return True
        now_s, prices = (
            self._clock.monotonic_s(),
            Prices(call_cost_rows=self._settings.now.series.call_cost_rows, limit=series.limit),
        )
        asked = [(now_s - at_s, cost) for at_s, cost in self._asked.get(series, ())]
        # A lifetime of 0 is no span of time: then a question may be asked as often as once a second.
        every_s = max(1.0, self._lifetimes.of(series.query, tenant).fresh_s) if self._is_live(tenant, series) else None
        return pays(prices.load(rows), asked, prices, every_s=every_s)

    def _is_live(self, tenant: Tenant, series: MetricsQuery) -> bool:
        return self._lifetimes.live_since_s(series, tenant) is not None

    def _marks(self, tenant: Tenant, series: MetricsQuery) -> Marks | None:
        """Return what is known of where a series has rows: the most that an answer to a question about all of it has told."""
        windows = self._shelves.known(tenant, series).windows
        extents = (extent for window in windows if (extent := window.by_name.get(series.name or "")) is not None)
        known = [extent for extent in extents if extent.known in {Known.SOME, Known.ALL} and extent.steps]
        most = max(known, key=lambda extent: len(extent.steps), default=None)
        if most is None:
            return self._surveyed.get(series)
        if most.known is Known.ALL and len(most.steps) <= series.limit:
            return None  # one answer may hold it
        sampled = most.known is Known.SOME
        apart = most_apart(most.steps, limit=series.limit, most_rows=self._settings.now.series.max_rows) if sampled else 1
        return Marks(steps=most.steps, apart=apart)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._running = asyncio.get_running_loop().create_task(work, name="loading.run")
        self._running.add_done_callback(lambda _: self._note_end())

    def _deserves_survey(self, tenant: Tenant, series: MetricsQuery) -> bool:
        """Tell whether parts of a series that nobody asked all of have cost as much as an answer about all of it, proven."""
        if series in self._surveyed or self._shelves.known(tenant, series).windows:
            return False
        prices = Prices(call_cost_rows=self._settings.now.series.call_cost_rows, limit=series.limit)
        return pays(prices.load(series.limit), [(0.0, cost) for _, cost in self._asked.get(series, ())], prices, every_s=None)

    async def _survey(self, tenant: Tenant, series: MetricsQuery, need: Need) -> None:
        self._surveyed[series] = None
        load = Load(
            tenant=tenant,
            series=series,
            need=need,
            marks=Marks(steps=[series.first], apart=1),
            loaded=None,
            begin=series.first,
        )
        if (found := await self._windows.survey(load)) is None:
            return
        fresh_s = self._lifetimes.of(series.query, tenant).fresh_s
        await self._learner.install(tenant, found, persist=need.persist, fresh_s=fresh_s)
        self._surveyed[series] = self._marks(tenant, series)

    async def _load(self, tenant: Tenant, series: MetricsQuery, marks: Marks, need: Need) -> None:
        self.begun += 1
        load = await self._begun(tenant, series, marks, need)
        _log.info("series.load_begun", key=series.query.target, rows=load.rows, known_rows=_rows(load.loaded))
        finished = await self._run(load)
        self.finished += finished
        event = "series.loaded" if finished else "series.load_put_off"
        _log.info(event, key=series.query.target, rows=load.rows, windows=load.windows)

    async def _guarded(self, series: MetricsQuery, work: Awaitable[None]) -> None:
        """Do the work of a load or survey, whatever becomes of it."""
        reason = "a fault in the proxy"
        try:
            await work
        except (NotLoaded, AnswerTooLarge) as exc:
            reason = str(exc)
        except UpstreamError as exc:
            self._paused[series] = None
            _log.info("series.load_interrupted", key=series.query.target, code=exc.code)
            return
        except Exception:  # noqa: BLE001 -- nobody waits for it who could tell
            _log.exception("series.crashed", key=series.query.target)
        else:
            return
        self.given_up += 1
        self._tried[series] = None
        _log.info("series.not_loaded", key=series.query.target, reason=reason)

    async def _begun(self, tenant: Tenant, series: MetricsQuery, marks: Marks, need: Need) -> Load:
        """Return a load that goes on from what an interrupted one has left."""
        left = self._left_behind(series, await self._shelves.load(tenant, [series]))
        loaded = None if left is None else await self._shelves.present(tenant, left)
        extent = None if loaded is None else only_extent(loaded)
        if loaded is not None and extent is not None:
            loaded = without_last(loaded, extent.steps[-min(len(extent.steps), series.limit // _AGAIN_SHARE)])
        last = None if loaded is None else loaded.question.last
        return Load(
            tenant=tenant,
            series=series,
            need=need,
            marks=marks,
            loaded=loaded,
            begin=series.first if last is None else last + 1,
            firsts=[] if last is None else [series.first],
        )

    def _left_behind(self, series: MetricsQuery, windows: Iterable[Extents]) -> Extents | None:
        """Return what an interrupted load has left: the longest window from the first step on that is young enough."""
        since_s = self._clock.now_s() - self._settings.now.series.rewrite_check_s
        left = [
            window
            for window in windows
            if window.question.last is not None
            and window.question.first == series.first
            and window.full_asked_s > since_s
            and (extent := only_extent(window)) is not None
            and extent.known is Known.ALL
        ]
        return max(left, key=_rows, default=None)

    async def _run(self, load: Load) -> bool:
        """Load a series; return False where that turned out not to pay. Raises NotLoaded and UpstreamError."""
        while not load.is_complete:
            await self._windows.load_next(load)
            self._see_to_bounds(load)
            if len(load.firsts) == 1 and not self._pays(load.tenant, load.series, load.rows):
                return False  # it has more rows than it seemed
            if load.loaded is not None and not load.is_complete:
                self._shelves.put(load.tenant, load.loaded, persist=load.need.persist, joins=lambda _: False)
        whole = await self._windows.check(load)
        fresh_s = self._lifetimes.of(load.series.query, load.tenant).fresh_s
        self._asked.pop(load.series, None)
        await self._learner.install(load.tenant, whole, persist=load.need.persist, fresh_s=fresh_s)
        # Should it be lost soon, something speaks against holding it.
        self._tried[load.series] = None
        if self._comes_too_fast(load.tenant, whole):
            self._too_fast[load.series] = None
        return True

    def _see_to_bounds(self, load: Load) -> None:
        """Raise NotLoaded where a series is too large, or takes too long."""
        if load.loaded is None:
            return
        rows = self._measured[load.series] = load.rows
        if rows > self._settings.now.series.max_rows:
            raise NotLoaded("it has more than series.max_rows rows")
        if load.loaded.size_bytes * max(1.0, rows / max(1, load.loaded.rows)) > self._settings.now.series.memory_bytes:
            raise NotLoaded("it would take more memory than series.memory_bytes")
        if not self._shelves.is_open or load.loaded.full_asked_s <= self._shelves.forgotten_s:
            raise NotLoaded("what has come was forgotten meanwhile")
        if load.loaded.full_asked_s <= self._clock.now_s() - self._settings.now.series.rewrite_check_s:
            raise NotLoaded("it takes longer than series.rewrite_check_s")

    def _comes_too_fast(self, tenant: Tenant, whole: Extents) -> bool:
        """Tell whether more rows of a live series may come late than a refresh can ask for again."""
        extent = only_extent(whole)
        if extent is None or not self._is_live(tenant, whole.question.in_full):
            return False
        begin, end = window_of(extent.steps, overlap_from(extent), None)
        return end - begin > _MOST_OVERLAP * whole.question.limit


def _rows(extents: Extents | None) -> int:
    return 0 if extents is None else extents.rows
