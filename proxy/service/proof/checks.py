"""Whether the upstream still answers by the rule that answers are computed with. Nothing is computed while it doesn't.

Two things are looked at. The **shadow**: while anything is computed, a computed answer is compared with what the upstream
says to that very question, every `shadow_s` seconds and where an answer of the upstream's own was another one; sampled ones
and windows in turns. Where they differ rows may have come or changed meanwhile, so the question is asked twice, and in between
the one whose answer it was computed from: where the two are the same and still not what is computed, the rule is broken.
Where they aren't, a stretch in which no rows come any more tells, or a part of what one answer cannot hold
(`core.proof.stretch`).

The **canary**: a series of more than 1,000 rows is asked for in full, with a smaller limit, as two windows, and in full again,
every ten minutes; where both full answers are the same, the others must be what is computed from them.

What the shadow found broken must itself be right again before anything is computed. Where the canary found it, or there is
nothing left to compare, a series has to tell, any that is asked for.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace

import structlog

from proxy.clock import Clock
from proxy.core.budget import Priority
from proxy.core.proof.probes import probe_limits
from proxy.core.proof.stretch import stretch
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents, Known, window_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Computed, answer, computing, recipe_of
from proxy.core.surrogates import LoneSurrogates
from proxy.errors import UpstreamError
from proxy.service.knowledge.shelves import Shelves
from proxy.slices import in_slices
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

# A short series tells little of the rule; once it was found broken any may tell that it holds again.
LEAST_ROWS = 1_000
_LEAST_AGAIN = 12
CANARY_S = 600.0
# After a check that told nothing (rows came meanwhile, the upstream failed), and while the rule is broken.
AGAIN_S = 300.0
# A shadow that is due waits so long at most for an answer of the kind whose turn it is, made of rows that have just come.
_PICKY_S = 10.0
# Where sampled answers and windows take turns, a comparison comes after this share of the usual time.
_SHARE = 0.75
# What differed from the upstream's own answer is looked at no more often than this.
_SUSPICION_S = 5.0
# What came so long ago at most needn't be asked for once more: a growing series has most likely stood still since.
_JUST_S = 0.5
_log = structlog.get_logger()


class _Refused(Exception):
    """The upstream's own 4xx to a check: says nothing about the rule."""


class Checks:
    """Says whether the rule holds, and sees to it that it is looked at."""

    def __init__(self, upstream: Upstream, shelves: Shelves, clock: Clock, *, shadow_s: float) -> None:
        """`shadow_s`: seconds between two comparisons while anything is computed; 0: there are none."""
        self._upstream = upstream
        self._shelves = shelves
        self._clock = clock
        self._shadow_s = shadow_s
        # What the next comparison is of: a sampled answer (True), one that has all rows of a window, or any (None); and which
        # of them came since the last one.
        self._turn: bool | None = None
        self._met: set[bool] = set()
        self._next_canary_s = 0.0
        self._again_s = AGAIN_S
        self._next_shadow_s = 0.0
        self._next_suspicion_s = 0.0
        self._running: asyncio.Task[None] | None = None
        # The series that the canary asks for, and the question and its source that the shadow found broken.
        self._suspect: MetricsQuery | None = None
        self._culprit: tuple[MetricsQuery, MetricsQuery] | None = None
        self._known: bytes | None = None
        self.passed = 0
        self.failed = 0

    @property
    def trusted(self) -> bool:
        """Whether the rule holds, as far as anybody knows: nothing is computed otherwise."""
        return self._shelves.is_open

    def note(self, extents: Extents) -> None:
        """Take notice of complete series: one of them may serve as the canary."""
        now_s = self._clock.monotonic_s()
        if now_s < self._next_canary_s or not self._idle or (extents.question.first, extents.question.last) != (0, None):
            return
        lengths = {name: len(extent.rows) for name, extent in extents.by_name.items()}
        longest = max(lengths, key=lengths.__getitem__, default="")
        if longest and lengths[longest] > LEAST_ROWS:
            self._suspect = replace(extents.question.in_full, name=longest)
            just_come = self._clock.now_s() - extents.tail_asked_s < _JUST_S
            self._known = _told(extents, self._suspect) if just_come else None
            self.look_again()

    def look_again(self, asked: MetricsQuery | None = None) -> None:
        """Ask the canary, unless it was a moment ago, or again what the shadow found broken: the only way back to trust.

        `asked`: what somebody asks for, whose series may be the canary's where it has none.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_canary_s or not self._idle:
            return
        if self._culprit is None and self._suspect is None and asked is not None and asked.name is not None:
            self._suspect = asked.in_full
        if self._culprit is not None:
            check = self._again(*self._culprit)
        elif self._suspect is not None:
            check = self._canary(self._suspect)
        else:
            return
        self._next_canary_s = now_s + self._again_s
        # A series that grows all the time may never stand still for a check: it is asked less and less often.
        self._again_s = min(2 * self._again_s, CANARY_S) if self.trusted else AGAIN_S
        self._start(check)

    def compare(self, question: MetricsQuery, computed: Computed, extents: Extents, *, sampled: bool) -> None:
        """Perhaps compare an answer computed from extents with the upstream's own, in the background.

        `sampled`: whether it lacks rows of its window.
        """
        now_s = self._clock.monotonic_s()
        self._met.add(sampled)
        if not self._shadow_s or now_s < self._next_shadow_s or not self._idle:
            return
        # What is made of older rows most likely differs, and takes two calls more.
        late_s = now_s - self._next_shadow_s
        just = self._clock.now_s() - computed.tail_asked_s <= _JUST_S or late_s >= _PICKY_S / 2
        if (just and self._turn in {None, sampled}) or late_s >= _PICKY_S:
            self._turn = None if self._met == {sampled} else not sampled
            self._met.clear()
            # Both kinds are to be looked at within a minute.
            share = 1.0 if self._turn is None else _SHARE
            self._next_shadow_s = now_s + share * self._shadow_s
            self._start(self._shadow_closed(question, computed, extents))

    def suspect(self, question: MetricsQuery, computed: bytes, source: MetricsQuery) -> None:
        """Take notice that an answer of the upstream is not what would have been computed: look at it at once."""
        if self.is_curious:
            self._next_suspicion_s = self._clock.monotonic_s() + _SUSPICION_S
            self._next_shadow_s = self._clock.monotonic_s() + self._shadow_s
            self._start(self._shadow(question, computed, source))

    @property
    def is_curious(self) -> bool:
        """Whether an answer of the upstream's own is worth a comparison now."""
        return self.trusted and self._idle and bool(self._shadow_s) and self._clock.monotonic_s() >= self._next_suspicion_s

    async def settled(self) -> None:
        """Wait until the check under way is done."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def aclose(self) -> None:
        """End the check under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    @property
    def _idle(self) -> bool:
        return self._running is None or self._running.done()

    def _start(self, check: Coroutine[None, None, None]) -> None:
        self._running = asyncio.get_running_loop().create_task(self._guarded(check), name="checks.run")

    async def _guarded(self, check: Coroutine[None, None, None]) -> None:
        try:
            await check
        except UpstreamError as exc:
            _log.info("series.check_failed", code=exc.code)
        except _Refused:
            self._suspect = self._culprit = None
        except LoneSurrogates:
            self._suspect = self._culprit = None  # nothing is computed from such answers, so they tell nothing
        except ValueError as exc:
            self._judge(False, check="layout", reason=str(exc))

    async def _canary(self, full: MetricsQuery) -> None:
        # What has just come needn't be asked for once more: if it isn't the same any more at the end, the check tells nothing.
        before, self._known = self._known or await self._ask(full), None
        extents = await _taken_apart(before, full)
        extent = extents.by_name.get(full.name or "")
        if extent is None or len(extent.rows) <= (LEAST_ROWS if self.trusted else _LEAST_AGAIN):
            self._suspect = None  # of no use any more: another one
            return
        middle = extent.steps[len(extent.steps) // 2]
        # That all of it is sent was proven before anything was computed from it; not so where nothing is.
        limits = [len(extent.rows) // 3, *([] if self.trusted else probe_limits([len(extent.rows)]))]
        others = [replace(full, limit=limit) for limit in limits]
        others += [replace(full, last=middle), replace(full, first=middle + 1)]
        said = [await self._ask(other) for other in others]
        if await self._ask(full) != before:
            return
        if self._judge(all(_told(extents, other) == body for other, body in zip(others, said, strict=True)), check="canary"):
            self._next_canary_s, self._again_s = self._clock.monotonic_s() + CANARY_S, AGAIN_S
        else:
            self._suspect = None  # perhaps not all of it is sent: another one may tell better

    async def _shadow_closed(self, question: MetricsQuery, computed: Computed, extents: Extents) -> None:
        """Compare an answer up to the last step that all of its series have: behind it rows may come all the time."""
        last, body = computed.through, computed.body
        if last is not None and last >= question.first and (question.last is None or question.last > last):
            closed = replace(question, last=last)
            if (recipe := recipe_of(extents, closed)) is not None:
                question, body = closed, (await in_slices(computing(recipe))).body
        await self._shadow(question, body, extents.question)

    async def _shadow(self, question: MetricsQuery, computed: bytes, source: MetricsQuery) -> None:
        said = await self._ask(question)
        if said == computed:
            self._judge(True, check="shadow")
            return
        full = await _taken_apart(await self._ask(source), source)
        still, computed_now = await self._ask(question) == said, _told(full, question)
        if not still or computed_now is None:
            if (narrower := stretch(full, question)) is not None:
                await self._shadow_of_stretch(*narrower)
            return
        self._culprit = question, source
        if self._judge(computed_now == said, check="shadow"):
            self._culprit = None

    async def _shadow_of_stretch(self, question: MetricsQuery, source: MetricsQuery) -> None:
        """Compare where no rows come any more: a series that grows all the time would never tell, nor one that is too long."""
        holds = await self._holds(question, await _taken_apart(await self._ask(source), source))
        if holds is None:
            return
        self._culprit = None if holds else (question, source)
        self._judge(holds, check="shadow")

    async def _holds(self, question: MetricsQuery, full: Extents) -> bool | None:
        """Tell whether a question is answered as it is computed from an answer that has just come.

        None where the answer that it is computed from has changed in this respect meanwhile, or nothing can be computed.
        """
        said, computed = await self._ask(question), _told(full, question)
        if computed in {None, said}:
            return None if computed is None else True
        source = full.question
        return False if _told(await _taken_apart(await self._ask(source), source), question) == computed else None

    async def _again(self, question: MetricsQuery, source: MetricsQuery) -> None:
        """Ask once more what the shadow found broken: another series could follow the rule all the while."""
        extents = await _taken_apart(await self._ask(source), source)
        # Behind the last step rows may come all the time.
        question, _ = stretch(extents, question) or (question, source)
        # Where there is nothing, or it isn't computed any more, it is for the canary to tell.
        if not extents.by_name or _told(extents, question) is None:
            self._culprit = None
            return
        holds = await self._holds(question, extents)
        if holds is None:
            return
        if not holds and await self._is_whole(extents, question.last):
            self._judge(False, check="again")
            return
        self._culprit = None
        if holds:
            self._judge(True, check="again")

    async def _is_whole(self, extents: Extents, last: int | None) -> bool:
        """Tell whether probes are answered as they are computed: else nothing is computed from it any more.

        `last`: up to which step; behind it rows may come.
        """
        ends = (window_of(extent.steps, 0, last)[1] for extent in extents.by_name.values() if extent.known is Known.ALL)
        source = replace(extents.question, last=extents.question.last if last is None else last)
        probed = [replace(source, limit=limit) for limit in probe_limits(ends)]
        return all([_told(extents, probe) == await self._ask(probe) for probe in probed])

    async def _ask(self, question: MetricsQuery) -> bytes:
        query = question.query
        ticket = self._upstream.ticket(Priority.REFRESH)
        reply: Reply[object] = await self._upstream.get(query.target, ticket, query.route.check)
        if reply.status != 200:
            raise _Refused
        return reply.body

    def _judge(self, holds: bool, *, check: str, reason: str = "") -> bool:
        self.passed += holds
        self.failed += not holds
        if not holds:
            _log.error("series.rule_broken", check=check, reason=reason)
        elif not self.trusted:
            _log.warning("series.rule_holds_again", check=check)
        if self.trusted and not holds:
            self._shelves.close()
        elif holds and check != "shadow":
            self._shelves.reopen()
        return holds


async def _taken_apart(body: bytes, question: MetricsQuery) -> Extents:
    return await in_slices(splitting(body, question, sent_at_s=0.0))


def _told(extents: Extents, question: MetricsQuery) -> bytes | None:
    computed = answer(extents, question)
    return None if computed is None else computed.body
