"""What the upstream is asked to see whether it follows the rule that answers are computed with, and what that tells.

- The **shadow** compares a computed answer with the upstream's own answer to that question. Where the two differ, rows may have
  come or changed meanwhile. So the question is asked again, and before that the question whose answer it was computed from.
  Where the upstream says the same both times, and what is computed now still differs, the rule is broken. Where it says
  something else, the comparison is repeated for a stretch in which no rows come any more, or for a part of what one answer
  cannot hold (`core.proof.stretch`).
- The **canary** asks for a series in full, with a smaller limit, as two windows, and in full again. Where both full answers are
  the same, the others must be what is computed from them.

`service.proof.checks` says when each is due, and what follows from it.
"""

from dataclasses import dataclass, replace

from proxy.core.budget.line import Priority
from proxy.core.proof.probes import probe_limits
from proxy.core.proof.stretch import part_in_full, stretch
from proxy.core.series.answers import splitting
from proxy.core.series.chunks import ChunkAbsentError
from proxy.core.series.extents import Extents, Known, window_of
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import Computed, answer, computing, recipe_of
from proxy.slices import in_slices
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

# A shorter series tells little of the rule. Once the rule was found broken, any series may tell that it holds again.
LEAST_ROWS = 1_000
_LEAST_ROWS_UNTRUSTED = 12


class TellsNothing(Exception):
    """What a check asks can tell nothing of the rule: the upstream refuses it (4xx), or its series is too short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """A question to which the upstream's answer isn't the one that is computed from its answer to `source`."""

    question: MetricsQuery
    source: MetricsQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a comparison found. `holds`: whether the rule holds, None where that can't be told.

    `culprit`: what is to be compared again, None for nothing.
    """

    holds: bool | None = None
    culprit: Culprit | None = None


class Comparer:
    """Compares what is computed with what the upstream says.

    Each method raises UpstreamError where the upstream fails, TellsNothing where it refuses, LoneSurrogates where nothing is
    computed from an answer, and ValueError where an answer isn't laid out as the upstream's are.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def canary(self, full: MetricsQuery, before: bytes | None, *, trusted: bool) -> bool | None:
        """Tell by a series whether the rule holds, None where the series grew meanwhile.

        `full` is the question for all of the series. `before`: the upstream's answer to it that has just come, None where there
        is none. `trusted`: whether the rule holds as far as anybody knows.
        """
        # What has just come needn't be asked for once more: if it isn't the same any more at the end, the check tells nothing.
        before = before or await self._ask(full)
        extents = await _taken_apart(before, full)
        extent = extents.by_name.get(full.name or "")
        if extent is not None and extent.known is Known.SOME:
            # It is longer than thought: a part of it will tell.
            if (part := part_in_full(extents, full.limit // 2)) is None:
                raise TellsNothing
            full = part
            before = await self._ask(full)
            extents = await _taken_apart(before, full)
            extent = extents.by_name.get(full.name or "")
        if extent is None or len(extent.rows) <= (LEAST_ROWS if trusted else _LEAST_ROWS_UNTRUSTED):
            raise TellsNothing
        middle = extent.steps[len(extent.steps) // 2]
        # While the rule holds, all of the series was proven to be sent before anything was computed from it.
        limits = [len(extent.rows) // 3, *([] if trusted else probe_limits([len(extent.rows)]))]
        others = [replace(full, limit=limit) for limit in limits]
        others += [replace(full, last=middle), replace(full, first=middle + 1)]
        said = [await self._ask(other) for other in others]
        if await self._ask(full) != before:
            return None
        return all(answered(extents, other) == body for other, body in zip(others, said, strict=True))

    async def shadow_closed(self, question: MetricsQuery, computed: Computed, extents: Extents) -> Finding:
        """Compare an answer computed from extents, up to the last step that all of its series have.

        Behind that step rows may come all the time.
        """
        last, body = computed.through, computed.body
        if last is not None and last >= question.first and (question.last is None or question.last > last):
            closed = replace(question, last=last)
            if (recipe := recipe_of(extents, closed)) is not None:
                question, body = closed, (await in_slices(computing(recipe))).body
        return await self.shadow(question, body, extents.question)

    async def shadow(self, question: MetricsQuery, computed: bytes, source: MetricsQuery) -> Finding:
        """Compare a body that was computed for a question, from the answer to `source`."""
        said = await self._ask(question)
        if said == computed:
            return Finding(holds=True)
        full = await _taken_apart(await self._ask(source), source)
        unchanged, computed_now = await self._ask(question) == said, answered(full, question)
        if not unchanged or computed_now is None:
            narrower = stretch(full, question)
            return Finding() if narrower is None else await self._shadow_of_stretch(*narrower)
        return _finding(computed_now == said, question, source)

    async def recheck(self, culprit: Culprit) -> Finding:
        """Compare once more what the shadow found broken: another series could follow the rule all the while."""
        extents = await _taken_apart(await self._ask(culprit.source), culprit.source)
        # Behind the last step rows may come all the time.
        question, _ = stretch(extents, culprit.question) or (culprit.question, culprit.source)
        # Where there are no rows, or the answer isn't computed any more, the canary has to tell.
        if not extents.by_name or answered(extents, question) is None:
            return Finding()
        holds = await self._is_followed(question, extents)
        if holds is None:
            return Finding(culprit=culprit)
        if not holds and await self._is_whole(extents, question.last):
            return Finding(holds=False, culprit=culprit)
        return Finding(holds=True if holds else None)

    async def _shadow_of_stretch(self, question: MetricsQuery, source: MetricsQuery) -> Finding:
        """Compare where no rows come any more: a series that grows all the time would never tell, nor one that is too long."""
        holds = await self._is_followed(question, await _taken_apart(await self._ask(source), source))
        return _finding(holds, question, source)

    async def _is_followed(self, question: MetricsQuery, full: Extents) -> bool | None:
        """Tell whether a question is answered as it is computed from an answer that has just come.

        None where that answer has changed in this respect meanwhile, or where nothing can be computed from it.
        """
        said, computed = await self._ask(question), answered(full, question)
        if computed in {None, said}:
            return None if computed is None else True
        source = full.question
        return False if answered(await _taken_apart(await self._ask(source), source), question) == computed else None

    async def _is_whole(self, extents: Extents, last: int | None) -> bool:
        """Tell whether probes are answered as they are computed: if not, nothing is computed from the series any more.

        `last`: up to which step; behind it rows may come.
        """
        ends = (window_of(extent.steps, 0, last)[1] for extent in extents.by_name.values() if extent.known is Known.ALL)
        source = replace(extents.question, last=extents.question.last if last is None else last)
        probed = [replace(source, limit=limit) for limit in probe_limits(ends)]
        return all([answered(extents, probe) == await self._ask(probe) for probe in probed])

    async def _ask(self, question: MetricsQuery) -> bytes:
        query = question.query
        ticket = self._upstream.ticket(Priority.REFRESH)
        reply: Reply[object] = await self._upstream.get(query.target, ticket, query.route.check)
        if reply.status != 200:
            raise TellsNothing
        return reply.body


def answered(extents: Extents, question: MetricsQuery) -> bytes | None:
    """Return the body that is computed for a question, None where extents don't answer it, or have its rows on disk alone."""
    try:
        computed = answer(extents, question)
    except ChunkAbsentError:
        return None
    return None if computed is None else computed.body


def _finding(holds: bool | None, question: MetricsQuery, source: MetricsQuery) -> Finding:
    return Finding(holds=holds, culprit=Culprit(question=question, source=source) if holds is False else None)


async def _taken_apart(body: bytes, question: MetricsQuery) -> Extents:
    return await in_slices(splitting(body, question, sent_at_s=0.0))
