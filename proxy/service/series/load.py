"""One long series loaded: its windows are asked for one after the other, each beginning with the last rows of the one before.

`core.series.windows` says how long each may be, `core.proof.loaded` puts them together, and says how what came together is
checked. `service.series.loading` says which series are loaded, and keeps what came.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as changed

from proxy.clock import Clock
from proxy.core.proof.known_rows import PROVING_ROWS
from proxy.core.proof.loaded import Check, checks, differing_from, only_extent, overlapping, pieces_of, spliced, without_last
from proxy.core.series.compacting import compacting
from proxy.core.series.extents import Extents, Known
from proxy.core.series.joining import merged
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.sampling import most_apart
from proxy.core.series.windows import Marks
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.proof.evidence import Evidence
from proxy.service.proof.probed import by_name_in
from proxy.service.proof.proving import Prover
from proxy.service.proof.splitter import Splitter
from proxy.service.series.own_bounds import own_bounds
from proxy.service.tenancy import Tenant
from proxy.settings import Settings
from proxy.slices import in_slices
from proxy.upstream.client import Parser

# So many windows may turn out to have more rows than planned, or not to fit to the one before; and one in so many besides.
_MOST_IN_VAIN, _IN_VAIN_SHARE = 6, 8
# So often what came together is checked, and so many pieces are asked for again at once.
_MOST_CHECKS, _MOST_PIECES = 3, 8


class NotLoaded(Exception):
    """A series cannot be loaded. The argument is the reason, for the log."""


@dataclass(slots=True, kw_only=True, eq=False)
class Load:
    """A load under way.

    - `tenant`, `series`, `need`: whose series it is, the question for it in full, and what holds for the calls.
    - `marks`: what is known of where its rows are.
    - `loaded`: what has come, from the first step on; None: nothing yet.
    - `begin`: the step from which the next window is planned.
    - `firsts`: the first steps of the windows that `loaded` is put together of.
    - `windows`, `in_vain`: how many windows were asked for, and how many of them were of no use.
    """

    tenant: Tenant
    series: MetricsQuery
    need: Need
    marks: Marks
    loaded: Extents | None
    begin: int
    firsts: list[int] = field(default_factory=list)
    windows: int = 0
    in_vain: int = 0

    @property
    def rows(self) -> int:
        """About how many rows the series has."""
        if self.loaded is None:
            return self.marks.rows
        return self.loaded.rows + (0 if self.is_complete else self.marks.remaining(self.begin))

    @property
    def is_complete(self) -> bool:
        """Whether the last window has come."""
        return self.loaded is not None and self.loaded.question.last is None


class WindowLoader:
    """Asks for the windows of series. Each method raises NotLoaded, and UpstreamError where the upstream fails."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        splitter: Splitter,
        evidence: Evidence,
        prover: Prover,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._fetcher = fetcher
        self._splitter = splitter
        self._evidence = evidence
        self._prover = prover
        self._clock = clock
        self._settings = settings

    async def survey(self, load: Load) -> Extents | None:
        """Ask for all of a series at once, and return what is proven of the answer: all of its rows, or where it has some."""
        fetched, extents = await self._ask(load, load.series)
        if _is_sample(extents):
            return extents
        whole = self._evidence.prove_by_known(fetched, extents, [])
        return whole or await self._prover.prove_by_probes(fetched, extents, self._need(load))

    async def load_next(self, load: Load) -> None:
        """Ask for the next window, and add it to what has been loaded."""
        most = min(load.series.limit, self._settings.now.series.max_fetch_rows)
        # It holds the last rows of the one before, too.
        last = load.marks.window(load.begin, most - PROVING_ROWS)
        first = overlapping(load.loaded, load.begin)
        load.windows += 1
        fetched, extents = await self._ask(load, replace(load.series, first=first, last=last))
        window: Extents | None = extents
        # A sample tells where rows are: it needs no proof.
        if not _is_sample(extents) and (window := self._as_known(load, fetched, extents)) is None:
            window = await self._prover.prove_by_probes(fetched, extents, self._need(load))
        self._add(load, window, last)
        if load.loaded is not None:
            load.loaded = await in_slices(compacting(load.loaded))

    def _as_known(self, load: Load, fetched: Fetched, extents: Extents) -> Extents | None:
        """Return a window if it is proven whole without another question."""
        known = load.loaded
        return self._evidence.prove_by_known(fetched, extents, []) or (
            None if known is None else self._evidence.prove_window(fetched, extents, known)
        )

    def _add(self, load: Load, window: Extents | None, last: int | None) -> None:
        extent = None if window is None else only_extent(window)
        if window is None or extent is None or extent.known not in {Known.ALL, Known.SOME}:
            raise NotLoaded("a window could not be proven whole, or has rows that nothing is computed from")
        if extent.groups is not None:
            raise NotLoaded("it has rows of several groups")
        if extent.known is Known.SOME:
            self._note_in_vain(load)
            apart = most_apart(extent.steps, limit=load.series.limit, most_rows=self._settings.now.series.max_rows)
            load.marks = load.marks.refined(extent.steps, apart)
            return
        load.marks = load.marks.measured(extent.steps)
        known = None if load.loaded is None else load.loaded.question.last
        if last is not None:
            window = replace(window, question=replace(window.question, last=extent.steps[-1]))
            load.begin = last + 1
            if known is not None and extent.steps[-1] <= known:
                return  # it has no row but the last ones of the window before
        whole = window if load.loaded is None else merged(load.loaded, window)
        if whole is None:
            # Rows were written again, or came between others. What is older of the two is asked for again.
            self._note_in_vain(load)
            load.begin = load.firsts.pop()
            load.loaded = None if load.loaded is None else without_last(load.loaded, load.begin)
            return
        load.firsts.append(window.question.first)
        load.loaded = whole if last is not None else _as_new_as(whole, window.tail_asked_s)

    def _note_in_vain(self, load: Load) -> None:
        load.in_vain += 1
        if load.in_vain > _MOST_IN_VAIN + load.windows // _IN_VAIN_SHARE:
            raise NotLoaded("too many windows have other rows than those that were known")

    async def check(self, load: Load) -> Extents:
        """Return what was loaded, once it agrees with the upstream. Pieces that don't are asked for again."""
        whole = load.loaded
        for _ in range(_MOST_CHECKS):
            check = None if whole is None else self._check_of(whole)
            if whole is None or check is None:
                break
            differs = differing_from(whole, check, await self._rows_of(load, check))
            if differs is None:
                return whole
            pieces = pieces_of(whole, check, differs)
            if len(pieces) > _MOST_PIECES:
                break
            whole = await self._with_pieces(load, whole, pieces)
        raise NotLoaded("what came together is not what the upstream says")

    def _check_of(self, whole: Extents) -> Check | None:
        row_bytes = -(-whole.size_bytes // max(1, whole.rows))
        shown = (
            check
            for check in checks(whole)
            if self._evidence.has_shown(check.question, rows=check.question.limit + 1, row_bytes=row_bytes)
        )
        return next(shown, None)

    async def _rows_of(self, load: Load, check: Check) -> Sequence[bytes]:
        fetched = await self._fetch(load, self._need(load), check.question)
        try:
            rows = await in_slices(by_name_in(fetched.entry.body))
        except ValueError as exc:
            raise NotLoaded(f"an answer is not laid out as it should be: {exc}") from None
        return rows.get(load.series.name or "", [])

    async def _with_pieces(self, load: Load, whole: Extents, pieces: Sequence[MetricsQuery]) -> Extents:
        for piece in pieces:
            fetched, extents = await self._ask(load, piece)
            proven = self._evidence.prove_by_known(fetched, extents, [])
            if proven is None:
                proven = await self._prover.prove_by_probes(fetched, extents, self._need(load))
            extent = None if proven is None else only_extent(proven)
            together = None if proven is None or extent is None or extent.known is not Known.ALL else spliced(whole, proven)
            if together is None:
                raise NotLoaded("a piece that was asked for again does not fit")
            whole = together
        return whole

    async def _ask(self, load: Load, question: MetricsQuery) -> tuple[Fetched, Extents]:
        fetched = await self._fetch(load, self._need(load, self._splitter.parser(question)), question)
        extents = await self._splitter.take_apart(fetched, question)
        if extents is None:
            raise NotLoaded("an answer could not be taken apart")
        return fetched, extents

    async def _fetch(self, load: Load, need: Need, question: MetricsQuery) -> Fetched:
        fetched, _ = await self._fetcher.fetch(load.tenant, question.query, need)
        if fetched.entry.status != 200 or fetched.tenant is not load.tenant:
            raise NotLoaded("the upstream refuses, or the key has changed")
        return fetched

    def _need(self, load: Load, parser: Parser[Extents] | None = None) -> Need:
        return load.need.in_background(self._clock.now_s(), own_bounds(self._settings), Reason.LOAD, parser)


def _as_new_as(whole: Extents, tail_asked_s: float) -> Extents:
    """Return a series whose last window, which has all of its newest rows, was asked for at a wall time."""
    by_name = {name: changed(extent, tail_asked_s=tail_asked_s) for name, extent in whole.by_name.items()}
    return replace(whole, by_name=by_name, tail_asked_s=tail_asked_s)


def _is_sample(extents: Extents) -> bool:
    return any(extent.known is Known.SOME for extent in extents.by_name.values())
