"""Answers of the upstream proven whole before anything is computed from them: `core.proof` has the theory.

What was seen of the upstream lately proves most answers at no cost (`core.limits`). Others are proven by a probe, the same
question with a smaller limit. Where rows came between the two both are asked again, at the same time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog

from proxy.clock import Clock
from proxy.core.answers import partitions, splitting
from proxy.core.extents import Extents, Known
from proxy.core.growth import not_yet
from proxy.core.limits import Limits
from proxy.core.metrics_query import MetricsQuery
from proxy.core.pieces import Work
from proxy.core.proof import FEW_ROWS, Size, confirmed, lost, probes, proven_by, shown, size_of
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetcher import Fetcher
from proxy.service.need import Fetched, Need
from proxy.slices import in_slices

# So many rows of a name are expected to come meanwhile at most where an answer and its probes are asked at the same time.
_MOST_MEANWHILE = 2
_log = structlog.get_logger()
_Place = tuple[MetricsQuery, float, str]
# A probe's limit, and what was said to it by name; None where nothing can be told from it.
_Said = tuple[int, dict[str, list[bytes]] | None]


class Prover:
    """Proves answers whole."""

    def __init__(self, fetcher: Fetcher, limits: Limits, clock: Clock, *, overlap_s: float) -> None:
        self._fetcher = fetcher
        self._limits = limits
        self._clock = clock
        self._overlap_s = overlap_s
        self._proving: dict[_Place, asyncio.Task[Extents | None]] = {}
        self.probes = 0
        self.unproven = 0

    def seen(self, fetched: Fetched, extents: Extents, known: Sequence[Extents]) -> bool:
        """Take notice of an answer; tell whether it is whole by what was seen before, or by what is `known`.

        `known`: windows that are known whole, of the same run and group. Where it lacks rows that they have, less is sent than
        was seen, or they were deleted: then nothing that was seen counts any more.
        """
        size = size_of(extents, len(fetched.entry.body))
        sent_at_s = extents.tail_at_s
        if _lacks(extents, known):
            self._limits.forget()
        whole = size.rows <= FEW_ROWS or self._allows(extents, size.doubled)
        if not whole and _is_shown(extents, known):
            whole = self._allows(extents, size.exceeded)
        self._limits.note(extents.question, size, sent_at_s)
        return whole

    def _allows(self, extents: Extents, size: Size) -> bool:
        return self._limits.allow(extents.question, size, asked_s=extents.tail_at_s, now_s=self._clock.now_s())

    async def prove(self, fetched: Fetched, extents: Extents, need: Need) -> Extents | None:
        """Return an answer of which the upstream's own answer to a probe says that it is whole, None where it doesn't.

        Names of which that could not be found out are marked as to be asked for. Everybody who waits for the same answer
        shares the probe. Raises UpstreamBusy and KeyRefused.
        """
        place = (extents.question, extents.tail_at_s, fetched.entry.digest)
        if (task := self._proving.get(place)) is None:
            task = asyncio.get_running_loop().create_task(self._prove(fetched, extents, need), name="proving.run")
            self._proving[place] = task
            task.add_done_callback(partial(self._ended, place))
        return await asyncio.shield(task)

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._proving.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, place: _Place, task: "asyncio.Task[Extents | None]") -> None:
        self._proving.pop(place)
        if not task.cancelled():
            task.exception()  # whoever waited was told; perhaps nobody does any more

    async def _prove(self, fetched: Fetched, extents: Extents, need: Need) -> Extents | None:
        try:
            said = await self._ask_probes(fetched, extents.question, _limits_for(extents), need)
            proven = _proven(extents, said)
            if proven is None:
                proven = await self._once_more(fetched, extents, need)
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            _log.info("series.not_proven", key=extents.question.query.target, reason=exc.code)
            return None
        if proven is None:
            self.unproven += 1
            _log.info("series.not_proven", key=extents.question.query.target, reason="the upstream answers a probe otherwise")
        return proven

    async def _ask_probes(self, fetched: Fetched, question: MetricsQuery, limits: Sequence[int], need: Need) -> list[_Said]:
        return await asyncio.gather(*(self._ask_probe(fetched, replace(question, limit=limit), need) for limit in limits))

    async def _ask_probe(self, fetched: Fetched, probe: MetricsQuery, need: Need) -> _Said:
        """Return what is said to a probe by name; None where it isn't an answer, or another key's."""
        self.probes += 1
        said, _ = await self._fetcher.fetch(fetched.tenant, probe.query, self._need(need))
        if said.entry.status != 200 or said.tenant is not fetched.tenant:
            return probe.limit, None
        try:
            return probe.limit, await in_slices(_by_name(said.entry.body))
        except ValueError:
            return probe.limit, None

    async def _once_more(self, fetched: Fetched, extents: Extents, need: Need) -> Extents | None:
        """Ask the question and its probes again, all at the same time: rows may have come between them."""
        question = extents.question
        limits = _limits_for(extents, more=_MOST_MEANWHILE)
        asking = self._fetcher.fetch(fetched.tenant, question.query, replace(self._need(need), keep=False))
        (again, _), said = await asyncio.gather(asking, self._ask_probes(fetched, question, limits, need))
        if again.entry.status != 200 or again.tenant is not fetched.tenant:
            return None
        try:
            told = await in_slices(
                splitting(again.entry.body, question, sent_at_s=again.entry.sent_at_s, overlap_s=self._overlap_s)
            )
        except ValueError:
            return None
        self._limits.note(question, size_of(told, len(again.entry.body)), told.tail_at_s)
        return _proven(told, said, at_least=1)

    def _need(self, need: Need) -> Need:
        return replace(
            need,
            keep=False,
            persist=False,
            not_before_s=self._clock.now_s(),
            in_vain=None,
            serves=None,
            taking=None,
        )


def _limits_for(extents: Extents, *, more: int = 0) -> Sequence[int]:
    """Return the limits to probe an answer with, also where a name may have gained so many rows by then."""
    lengths = {len(extent.rows) for extent in extents.by_name.values() if extent.known is Known.ALL}
    # Where nothing can be proven but which names there are, their first and last rows tell.
    return probes({rows + further for rows in lengths for further in range(more + 1)}) or [1]


def _proven(extents: Extents, said: Sequence[_Said], *, at_least: int | None = None) -> Extents | None:
    """Return an answer as far as its probes prove it; names that are not proven are marked as to be asked for.

    None where the probes prove fewer names than `at_least`, or if that isn't given, fewer than they might.
    """
    proven: set[str] = set()
    provable: set[int] = set()
    complete = {name: len(extent.rows) for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    for limit, rows in said:
        right = None if rows is None else confirmed(extents, limit, rows)
        if right is None:
            return None
        proven |= right
        provable |= proven_by(complete.values(), limit)
    wanted = sum(rows in provable for rows in complete.values()) if at_least is None else min(at_least, len(complete))
    if len(proven) < wanted:
        return None
    by_name = {
        name: extent if name in proven or name not in complete else not_yet(extent) for name, extent in extents.by_name.items()
    }
    return replace(extents, by_name=by_name)


def _by_name(body: bytes) -> Work[dict[str, list[bytes]]]:
    by_name: dict[str, list[bytes]] = {}
    for one in partitions(body):
        if one is not None:
            by_name[one.name] = one.texts
        yield None
    return by_name


def _lacks(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether an answer lacks rows that are known."""
    question = extents.question
    return any(
        lost(extent, extents.by_name.get(name), question.first, question.last)
        for window in known
        for name, extent in window.by_name.items()
        if extent.known is Known.ALL and question.name in {None, name}
    )


def _is_shown(extents: Extents, known: Sequence[Extents]) -> bool:
    """Tell whether known rows show of every name that nothing is left out between its rows.

    Where the rows of a name are shown, the upstream sends as many of each, so that half as many of another one are all of them.
    """
    first = extents.question.first
    known_by_name = {name: extent for window in known for name, extent in window.by_name.items() if extent.known is Known.ALL}
    complete = {name: extent for name, extent in extents.by_name.items() if extent.known is Known.ALL}
    seen = {name for name, extent in complete.items() if name in known_by_name and shown(known_by_name[name], extent, first)}
    most = max((len(complete[name].rows) for name in seen), default=0)
    return bool(seen) and all(name in seen or 2 * len(extent.rows) <= most for name, extent in complete.items())
