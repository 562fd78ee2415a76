"""Metric questions asked wide: one that holds the question, and probably the next ones, is asked in its place and taken apart.

`service.series.widening_policy` says which one. What it brings is kept as extents; the answer is computed from them. Where it
didn't serve, that is remembered, and the question is asked as it came.
"""

from dataclasses import replace
from functools import partial

from proxy.core.freshness.entry import Entry
from proxy.core.freshness.outcome import Made
from proxy.core.freshness.verdict import Verdict
from proxy.core.question.keeping import Keeping
from proxy.core.series.extents import Extents, Known
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.metrics_query import MetricsQuery
from proxy.core.series.recipes import recipe_of
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Fetched, Need
from proxy.service.knowledge.learner import Learner
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof.proving import Prover
from proxy.service.series.asked import AskedSeries, Brought
from proxy.service.series.computer import Computer
from proxy.service.series.widening_policy import WideningPolicy
from proxy.upstream.exchange import Bounds


class Widening:
    """Asks wide."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        prover: Prover,
        learner: Learner,
        computer: Computer,
        policy: WideningPolicy,
        encoder: Encoder,
        lifetimes: RunLifetimes,
        bounds: Bounds,
    ) -> None:
        """`bounds`: how large an answer may be that nobody asked for."""
        self._fetcher = fetcher
        self._prover = prover
        self._learner = learner
        self._computer = computer
        self._policy = policy
        self._encoder = encoder
        self._lifetimes = lifetimes
        self._bounds = bounds

    async def ask(self, asked: AskedSeries, known: KnownSeries) -> Brought | None:
        """Ask for more than was asked for, where that serves the next questions too; None where it did not serve this one.

        `known`: what was known of it a moment ago, before a delta that did not serve.
        """
        # That what was empty still is, its own question tells at the least cost, unless only this window of it is empty.
        metrics = asked.metrics
        empty = known.is_empty and self._computer.now_known(asked).is_empty
        alone = empty and self._policy.is_promising(metrics.in_full, metrics)
        wider = metrics.in_full if alone else self._policy.chosen(metrics)
        if wider != wider.densest:
            return None
        if wider.name is not None and self._policy.is_first_look(metrics) and not self._prover.is_cheap(wider):
            return None  # nothing that is asked for once is worth a proof
        return await (self._ask_itself(asked) if wider == metrics else self._ask_wider(asked, wider))

    async def _ask_itself(self, asked: AskedSeries) -> Brought:
        """Ask a question that is as wide as can be: its answer is kept taken apart, or as it is where that isn't possible."""
        need = replace(asked.need, persist=False, parser=self._prover.parser(asked.metrics))
        fetched, collapsed = await self._fetcher.fetch(asked.tenant, asked.query, need)
        if fetched.entry.status == 200 and (entry := await self._computed(asked, asked.metrics, fetched)) is not None:
            return Brought(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed)
        if fetched.stored and asked.need.persist:
            stored = self._encoder.keep(fetched.tenant, asked.query.target, fetched.entry, asked.query.keeping)
            fetched = replace(fetched, stored=stored)
        return Brought(fetched=fetched, collapsed=collapsed)

    async def _ask_wider(self, asked: AskedSeries, wider: MetricsQuery) -> Brought | None:
        on_failure = partial(self._note_failure, wider)
        need = replace(asked.need, persist=False, bounds=self._bounds, on_failure=on_failure, parser=self._prover.parser(wider))
        try:
            fetched, collapsed = await self._fetched(asked, wider, need)
        except AnswerTooLarge as exc:
            on_failure(exc)
            return None
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            on_failure(exc)  # perhaps it was too much: next time it is asked for as it came
            raise
        if fetched.entry.status != 200:
            on_failure(None)  # what is said to another question is no answer to this one
            return None
        entry = await self._computed(asked, wider, fetched)
        if entry is not None:
            made = Made.SERIES if wider == wider.in_full else Made.WINDOW
            return Brought(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed, made=made)
        if self._computer.counts(fetched.entry) and self._policy.is_promising(wider, asked.metrics):
            self._policy.note_vain(wider, asked.metrics)
        return None

    def _note_failure(self, wider: MetricsQuery, error: UpstreamError | None) -> None:
        if error is None or isinstance(error, AnswerTooLarge):
            self._policy.note_hopeless(wider)
        else:
            self._policy.note_failed(wider)

    async def _fetched(self, asked: AskedSeries, wider: MetricsQuery, need: Need) -> tuple[Fetched, bool]:
        """Fetch a wide answer, unless it came a moment ago and is still being taken apart."""
        entry = self._encoder.held(asked.tenant, wider.query.target)
        # What a delta was added to would seem to have been asked for in full.
        if entry is not None and entry.sent_at_s >= need.not_before_s and entry.full_asked_s is None:
            newer = asked.need.refreshed_s < entry.sent_at_s
            if newer and self._lifetimes.judge(entry, wider.query, asked.tenant) is Verdict.FRESH:
                return Fetched(tenant=asked.tenant, entry=entry, stored=True), False
        return await self._fetcher.fetch(asked.tenant, replace(wider.query, one_off=True), need)

    async def _computed(self, asked: AskedSeries, wider: MetricsQuery, fetched: Fetched) -> Entry | None:
        """Take an answer apart, keep it, and compute another one from it."""
        extents = self._learner.installed(fetched.tenant, wider, fetched.entry.sent_at_s)
        if extents is None:
            extents = await self._proven(asked, wider, fetched)
        if extents is None or not self._computer.counts(fetched.entry):
            return None
        fresh_s = self._lifetimes.of(asked.query, fetched.tenant).fresh_s
        held = await self._learner.install(fetched.tenant, extents, persist=asked.need.persist, fresh_s=fresh_s)
        recipe = recipe_of(extents, asked.metrics)
        if recipe is None or (entry := await self._computer.compute(fetched.tenant, asked.query, recipe)) is None:
            return None
        if held and wider != asked.metrics and recipe_of(extents, wider) is not None:
            # Nobody asked for the wide answer itself, and it can be computed: memory would hold every row of it twice.
            self._encoder.let_go(fetched.tenant, wider.query.target, fetched.entry)
        if not held and asked.need.persist:
            self._encoder.keep(fetched.tenant, asked.query.target, entry, Keeping.DISK)
        return entry

    async def _proven(self, asked: AskedSeries, wider: MetricsQuery, fetched: Fetched) -> Extents | None:
        """Take an answer apart, and return it if it is proven whole."""
        extents = await self._prover.taken_apart(fetched, wider)
        if extents is None:
            return None
        self._policy.note_rows(wider, max((len(extent.steps) for extent in extents.by_name.values()), default=0))
        known = self._learner.kept_with(fetched.tenant, wider)
        whole = self._prover.judge(fetched, extents, known)
        if whole is not None or _tells_nothing(extents):
            self._policy.note_proven(wider)
            return whole or extents
        proven = await self._prover.prove(fetched, extents, asked.need)
        if proven is None:
            self._policy.note_unproven(wider)
        else:
            self._policy.note_proven(wider)
        return proven


def _tells_nothing(extents: Extents) -> bool:
    """Tell whether nothing would be computed from an answer: not what it holds, nor that it holds nothing else."""
    return extents.question.name is not None and not any(one.known is Known.ALL for one in extents.by_name.values())
