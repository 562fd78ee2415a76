"""Answers proven whole by probes, where `evidence` cannot tell: the same question with a smaller limit.

`core.proof` has the theory. Where rows came between the answer and its probes, the end of the series is asked for as well,
which proves the rest. What leaves this file is never presumed any more.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from proxy.clock import Clock
from proxy.core.proof.probes import proven_names
from proxy.core.proof.sizes import Size, size_of
from proxy.core.series.extents import Extents, Known, decided
from proxy.core.series.growth import continued
from proxy.core.series.metrics_query import MetricsQuery
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.proof.evidence import Evidence
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
from proxy.service.proof.splitter import Splitter
from proxy.service.tenancy import Tenant
from proxy.slices import in_slices
from proxy.tasks import end_tasks

# In the line of clients all proofs together are one client: whoever waits for an answer waits for its proof.
_CLIENT = "proofs"
# How long, in seconds, a finished proof serves those who need the same one.
_LINGERS_S = 1.0
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
    """Proves answers whole."""

    def __init__(self, fetcher: Fetcher, splitter: Splitter, evidence: Evidence, clock: Clock, *, overlap_s: float) -> None:
        """`overlap_s`: how long rows may become visible out of order (`core.series.answers`)."""
        self._fetcher = fetcher
        self._splitter = splitter
        self._evidence = evidence
        self._clock = clock
        self._overlap_s = overlap_s
        self._proving: dict[_ProofKey, asyncio.Task[Extents | None]] = {}
        self._proofs: set[_Proof] = set()
        self.probes = 0
        self.unproven = 0

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
        await end_tasks(self._proving.values())

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
        end = await self._splitter.take_apart(came, question)
        if end is None or came.tenant is not fetched.tenant or self._evidence.prove_by_known(came, end, []) is None:
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
        told = await self._splitter.take_apart(again, question)
        if told is None or said is None or again.tenant is not fetched.tenant:
            return None
        if self._evidence.prove_by_known(again, told, []) is not None:
            return told
        if any(rows.keys() != told.by_name.keys() for _, rows in said):
            return None
        proven = set().union(*(proven_names(told, limit, rows) for limit, rows in said))
        return only(told, proven) if proven else None

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
