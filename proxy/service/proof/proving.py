"""Answers of the upstream taken apart, and proven whole before anything is computed from them.

`core.proof` has the theory.

What the upstream has sent lately proves most answers without another request (`core.proof.limits`). Others are proven by
probes: the same question with a smaller limit. Where rows came between the answer and its probes, the end of the series is
asked for as well, which proves the rest.

An answer about one name with more rows than its limit can prove to be all is **presumed** to have all of them
(`Known.PRESUMED`): it may be a sample of more than twice as many. No larger answer can tell, since none is twice as large. Only
a probe can, or rows that have just come (`prove_window`). What leaves this file is never presumed any more.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from proxy.clock import Clock
from proxy.core.freshness.entry import Entry
from proxy.core.proof.known_rows import all_gapless, as_of_known_end, lacks_known_rows, last_known_row
from proxy.core.proof.limits import Limits
from proxy.core.proof.probes import proven_names
from proxy.core.proof.sizes import FEW_ROWS, Size, size_of, thinned_of
from proxy.core.series.answers import splitting
from proxy.core.series.extents import Extents, Known, decided
from proxy.core.series.growth import continued
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.probed import (
    Said,
    begun_of,
    by_name_in,
    end_limit,
    end_of,
    is_followed,
    limits_for,
    only,
    proven_of,
    short_names,
    shows_more,
)
from proxy.service.tenancy import Tenant
from proxy.slices import in_slices
from proxy.upstream.client import Parser

# In the line of clients all proofs together are one client: whoever waits for an answer waits for its proof.
_CLIENT = "proofs"
# How long, in seconds, a finished proof serves those who need the same one.
_LINGERS_S = 1.0
# How many rows an unknown series is taken to have.
_USUAL_ROWS = 1_000
_log = structlog.get_logger()
_ProofKey = tuple[MetricsQuery, float, str]


@dataclass(slots=True, kw_only=True, eq=False)
class _Proof:
    """A proof under way.

    - `fetched` is the answer to prove, `extents` are the same taken apart: whatever it has is taken to be all.
    - `presumed`: the same before that, where its name is presumed to be known in full.
    - `need` holds for the calls, `asking` are their questions.
    """

    fetched: Fetched
    extents: Extents
    presumed: Extents | None
    need: Need
    asking: list[MetricsQuery] = field(default_factory=list)


class Prover:
    """Takes answers apart and proves them whole."""

    def __init__(self, fetcher: Fetcher, limits: Limits, shelves: Shelves, clock: Clock, *, overlap_s: float) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._fetcher = fetcher
        self._limits = limits
        self._shelves = shelves
        self._clock = clock
        self._overlap_s = overlap_s
        self._splitting: dict[tuple[MetricsQuery, str, float], asyncio.Task[Extents | None]] = {}
        self._proving: dict[_ProofKey, asyncio.Task[Extents | None]] = {}
        self._proofs: set[_Proof] = set()
        self.probes = 0
        self.unproven = 0

    def parser(self, question: MetricsQuery) -> Parser[Extents]:
        """Return a parser that takes the answer to a question apart while it is checked."""
        presume = _presumes(question)
        return partial(splitting, question=question, overlap_s=self._overlap_s, documented=True, presume=presume)

    async def take_apart(self, fetched: Fetched, question: MetricsQuery) -> Extents | None:
        """Return an answer of the upstream taken apart, None where that isn't possible.

        An answer that was fetched without a parser is taken apart now, once for all who wait for it. One that was asked for
        before everything was forgotten is not: the upstream may have followed another rule then.
        """
        if fetched.entry.status != 200 or fetched.entry.sent_at_s <= self._shelves.forgotten_s:
            return None
        if fetched.extents is not None:
            return fetched.extents
        key = (question, fetched.entry.digest, fetched.entry.sent_at_s)
        if (task := self._splitting.get(key)) is None:
            task = self._splitting[key] = asyncio.get_running_loop().create_task(self._split(fetched.entry, question))
            task.add_done_callback(lambda _: self._splitting.pop(key))
        return await asyncio.shield(task)

    def prove_by_known(
        self, fetched: Fetched, extents: Extents, known: Sequence[Extents], *, since_s: float = math.inf
    ) -> Extents | None:
        """Return an answer if it is whole by what the upstream sent lately, or by what is `known`; None otherwise.

        The answer's own size is noted, too. `known`: windows of the same run that are known to be whole; those of another group
        don't count, since their rows have other neighbours. Where the answer lacks rows that they have, the upstream sends less
        than it did, or rows were deleted. Then nothing that was seen counts any more; what was concluded from it before is
        still to be confirmed. `since_s`: what was known since then (wall time) is as good as known now.
        """
        known = [window for window in known if window.question.group == extents.question.group]
        size = size_of(extents, len(fetched.entry.body))
        if lacks_known_rows(extents, known):
            self._limits.doubt()
        whole: Extents | None = None
        if extents.is_presumed:
            pass  # known rows don't tell: a sample shows them, too, where a row has come after each of them since
        elif size.rows <= FEW_ROWS or self._allows(extents, size.doubled):
            whole = extents
        elif all_gapless(extents, known):
            whole = extents if self._allows(extents, size.exceeded) else as_of_known_end(extents, known, since_s)
        self._limits.note(extents.question, size, extents.tail_asked_s, thinned_of(extents))
        return whole

    def prove_window(self, fetched: Fetched, extents: Extents, before: Extents) -> Extents | None:
        """Return a window of one name if it is whole by rows that have just come: it begins with the last ones of `before`.

        None otherwise. A window that has a last step ends at its last row then. Whether it was cut, the next window tells: it
        begins with the last rows of this one. One without a last step must be smaller than what the upstream sent lately.
        """
        size = size_of(extents, len(fetched.entry.body))
        self._limits.note(extents.question, size, extents.tail_asked_s, thinned_of(extents))
        whole = decided(extents, Known.ALL)
        if not all_gapless(whole, [before]):
            return None
        if extents.question.last is None:
            return whole if self._allows(extents, size.exceeded) else None
        ends = [extent.steps[-1] for extent in whole.complete.values()]
        return replace(whole, question=replace(extents.question, last=max(ends)))

    def prove_stretch(self, fetched: Fetched, extents: Extents, known: Extents) -> Extents | None:
        """Return a stretch of one long series if it is whole by what was sent lately, or by known rows; None otherwise.

        A stretch that begins with known rows, and has the last row that is known of it, may have been cut behind that row: then
        it ends there.
        """
        whole = self.prove_by_known(fetched, extents, [known])
        last = extents.question.last
        if whole is not None or last is None or extents.is_presumed or not all_gapless(extents, [known]):
            return whole
        reached = last_known_row(extents, known)
        return None if reached is None else replace(extents, question=replace(extents.question, last=reached))

    def has_shown(self, question: MetricsQuery, *, rows: int, row_bytes: int) -> bool:
        """Tell whether so large an answer about one name was sent lately that one of so many rows must be whole."""
        size = Size(names=1, most=rows, rows=rows, bytes=rows * row_bytes)
        return self._limits.shows(question, size.doubled, now_s=self._clock.now_s())

    def is_cheap(self, question: MetricsQuery) -> bool:
        """Tell whether the answer to a question is likely to be proven by what was seen lately."""
        size = Size(names=1, most=_USUAL_ROWS, rows=_USUAL_ROWS, bytes=_USUAL_ROWS)
        return self._limits.shows(question, size.doubled, now_s=self._clock.now_s())

    def _allows(self, extents: Extents, size: Size) -> bool:
        return self._limits.allow(extents.question, size, asked_s=extents.tail_asked_s, now_s=self._clock.now_s())

    async def prove_by_probes(self, fetched: Fetched, extents: Extents, need: Need) -> Extents | None:
        """Return an answer as far as probes prove it whole, None where they don't.

        Names that could not be proven count as not known yet; one that was presumed to be known in full is known in part
        (`Known.SOME`). All who wait for the same answer share its probes, which are
        promoted where one of them has nothing in hand. Raises UpstreamBusy and KeyRefused.
        """
        place = (extents.question, extents.tail_asked_s, fetched.entry.digest)
        if (task := self._proving.get(place)) is None:
            presumed = extents if extents.is_presumed else None
            proof = _Proof(fetched=fetched, extents=decided(extents, Known.ALL), presumed=presumed, need=need)
            self._proofs.add(proof)
            task = asyncio.get_running_loop().create_task(self._prove(proof), name="proving.run")
            self._proving[place] = task
            task.add_done_callback(partial(self._note_end, place, proof))
        elif need.urgent:
            self.promote(fetched.tenant, extents.question, need)
        return await asyncio.shield(task)

    def promote(self, tenant: Tenant, question: MetricsQuery, need: Need) -> None:
        """Promote the probes of answers about a question's run, since somebody waits for them now. Raises UpstreamBusy."""
        for proof in self._proofs:
            if (
                proof.fetched.tenant is tenant
                and proof.extents.question.whole_run == question.whole_run
                and not proof.need.urgent
            ):
                proof.need = replace(proof.need, urgent=True, deadline_s=need.deadline_s)
                for asked in proof.asking:
                    self._fetcher.promote(tenant, asked.query, self._need(proof.need))

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = list(self._proving.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _note_end(self, place: _ProofKey, proof: _Proof, task: "asyncio.Task[Extents | None]") -> None:
        self._proofs.discard(proof)
        # Others who wait for the same answer are still taking it apart, and need the proof then.
        asyncio.get_running_loop().call_later(_LINGERS_S, self._proving.pop, place, None)
        if not task.cancelled():
            task.exception()  # whoever waited has got it; this is for the case that nobody waits any more

    async def _prove(self, proof: _Proof) -> Extents | None:
        extents = proof.extents
        try:
            said = await self._ask_probes(proof)
            proven = None if said is None else proven_of(extents, said)
            if proven is None and said is not None and not (proof.presumed is not None and shows_more(extents, said)):
                proven = await self._followed(proof, said)
            if proof.presumed is not None and said is not None:
                return proven if proven is not None and proven.complete else decided(proof.presumed, Known.SOME)
            if proven is None and said is not None:
                proven = await self._once_more(proof)
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            _log.info("series.not_proven", key=extents.question.query.target, reason=exc.code)
            return None
        if proven is None:
            self.unproven += 1
            _log.info("series.not_proven", key=extents.question.query.target, reason="the upstream answers a probe otherwise")
        return proven

    async def _ask_probes(self, proof: _Proof) -> list[Said] | None:
        """Return the answers to the probes, None where nothing can be told from one of them."""
        asking = (self._ask_probe(proof, limit) for limit in limits_for(proof.extents))
        said = await asyncio.gather(*asking)
        return None if any(one is None for one in said) else [one for one in said if one is not None]

    async def _ask_probe(self, proof: _Proof, limit: int) -> Said | None:
        self.probes += 1
        said = await self._fetch(proof, replace(proof.extents.question, limit=limit))
        if said.entry.status != 200 or said.tenant is not proof.fetched.tenant:
            return None
        try:
            rows = await in_slices(by_name_in(said.entry.body))
        except ValueError:
            return None
        lengths = [len(texts) for texts in rows.values()]
        probe = Size(names=len(rows), most=max(lengths, default=0), rows=sum(lengths), bytes=len(said.entry.body))
        return (limit, rows) if probe.is_whole_beside(size_of(proof.extents, len(proof.fetched.entry.body))) else None

    async def _followed(self, proof: _Proof, said: Sequence[Said]) -> Extents | None:
        """Prove an answer to which rows were added meanwhile, by asking for its end again, which brings those rows too.

        The probes must still show the first row of each name, and all names. The end has so many fewer rows than what came
        before that it is whole. Where it begins with the last known rows, one after the other, no rows were left out between
        the earlier ones.
        """
        fetched, extents = proof.fetched, proof.extents
        if extents.question.last is not None or (proven := begun_of(extents, said)) is None:
            return None
        rest = {name: extent for name, extent in extents.complete.items() if name not in proven}
        if (first := end_of(extents, rest.values())) is None:
            return None
        limit = min(extents.question.limit, end_limit(rest.values(), first))
        question = replace(extents.question, first=first, limit=limit)
        came = await self._fetch(proof, question)
        end = await self.take_apart(came, question)
        if end is None or came.tenant is not fetched.tenant or self.prove_by_known(came, end, []) is None:
            return None
        followed = {
            name: end.by_name[name] for name, extent in rest.items() if is_followed(extent, end.by_name.get(name), first)
        }
        proven |= followed.keys()
        proven |= short_names(extents, proven)
        by_name = dict(only(extents, proven).by_name)
        for name, later in followed.items():
            by_name[name] = continued(by_name[name], later, first, overlap_s=self._overlap_s)
        return replace(extents, by_name=by_name)

    async def _once_more(self, proof: _Proof) -> Extents | None:
        """Ask for all of it again, together with its probes: that rows come in between a second time is unlikely."""
        fetched, question = proof.fetched, proof.extents.question
        again, said = await asyncio.gather(self._fetch(proof, question), self._ask_probes(proof))
        told = await self.take_apart(again, question)
        if told is None or said is None or again.tenant is not fetched.tenant:
            return None
        if self.prove_by_known(again, told, []) is not None:
            return told
        if any(rows.keys() != told.by_name.keys() for _, rows in said):
            return None
        proven = set().union(*(proven_names(told, limit, rows) for limit, rows in said))
        return only(told, proven) if proven else None

    async def _split(self, entry: Entry, question: MetricsQuery) -> Extents | None:
        try:
            work = splitting(
                entry.body,
                question,
                sent_at_s=entry.sent_at_s,
                overlap_s=self._overlap_s,
                presume=_presumes(question),
            )
            return await in_slices(work)
        except ValueError as exc:
            _log.warning("series.not_understood", key=question.query.target, reason=str(exc))
            return None

    async def _fetch(self, proof: _Proof, question: MetricsQuery) -> Fetched:
        proof.asking.append(question)
        fetched, _ = await self._fetcher.fetch(proof.fetched.tenant, question.query, self._need(proof.need))
        return fetched

    def _need(self, need: Need) -> Need:
        return replace(
            need,
            client=_CLIENT,
            keep_answer=False,
            persist=False,
            not_before_s=self._clock.now_s(),
            on_failure=None,
            accepts=None,
            parser=None,
            reason=Reason.PROBE,
        )


def _presumes(question: MetricsQuery) -> bool:
    """Tell whether an answer's rows are held that may be a sample: of one name a probe tells at once."""
    return question.name is not None
