"""Wider questions: one that holds the question, and probably the next ones, is asked in its place.

`service.series.widening_policy` chooses it. Its answer is taken apart and kept as extents, from which the answer is computed.
Where the wider question didn't serve, that is remembered, and the query is asked as it came.
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
from proxy.service.fetching.need import Fetched, Need, Reason
from proxy.service.knowledge.learner import Learner
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof.evidence import Evidence
from proxy.service.proof.proving import Prover
from proxy.service.proof.splitter import Splitter
from proxy.service.series.computer import Computer
from proxy.service.series.own_bounds import own_bounds
from proxy.service.series.wanted import ObtainedAnswer, WantedSeries
from proxy.service.series.widening_policy import WideningPolicy
from proxy.settings import Settings


class Widener:
    """Asks wider questions."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        splitter: Splitter,
        evidence: Evidence,
        prover: Prover,
        learner: Learner,
        computer: Computer,
        policy: WideningPolicy,
        encoder: Encoder,
        lifetimes: RunLifetimes,
        settings: Settings,
    ) -> None:
        self._fetcher = fetcher
        self._splitter = splitter
        self._evidence = evidence
        self._prover = prover
        self._learner = learner
        self._computer = computer
        self._policy = policy
        self._encoder = encoder
        self._lifetimes = lifetimes
        self._settings = settings

    async def obtain(self, wanted: WantedSeries, known: KnownSeries) -> ObtainedAnswer | None:
        """Return an answer by way of a wider question, None where none is worth asking or it did not serve.

        `known`: what was known of the question a moment ago, before a delta that did not serve. Raises UpstreamError.
        """
        # A series that was empty is asked for by itself, which costs the least, unless only this window of it was empty.
        metrics = wanted.metrics
        empty = known.is_empty and self._computer.known_now(wanted).is_empty
        alone = empty and self._policy.is_promising(metrics.in_full, metrics)
        wider = metrics.in_full if alone else self._policy.choose(metrics)
        if wider != wider.densest or (wider == metrics and self._is_hopeless(metrics)):
            return None
        if wider.name is not None and self._policy.is_first_look(metrics) and not self._evidence.is_cheap(wider):
            return None  # a series that is asked for only once isn't worth a proof
        return await (self._ask_itself(wanted) if wider == metrics else self._ask_wider(wanted, wider))

    async def _ask_itself(self, wanted: WantedSeries) -> ObtainedAnswer:
        """Ask a question that is as wide as can be. Its answer is kept taken apart, or as it came where that isn't possible."""
        need = replace(wanted.need, persist=False, parser=self._splitter.parser(wanted.metrics), reason=Reason.WIDER)
        fetched, collapsed = await self._fetcher.fetch(wanted.tenant, wanted.query, need)
        if fetched.entry.status == 200 and (entry := await self._keep_and_compute(wanted, wanted.metrics, fetched)) is not None:
            return ObtainedAnswer(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed)
        if fetched.entry.status == 200:
            self._note_useless(wanted.metrics, wanted.metrics, fetched.entry)
        if fetched.stored and wanted.need.persist:
            stored = self._encoder.keep(fetched.tenant, wanted.query.target, fetched.entry, wanted.query.keeping)
            fetched = replace(fetched, stored=stored)
        return ObtainedAnswer(fetched=fetched, collapsed=collapsed)

    async def _ask_wider(self, wanted: WantedSeries, wider: MetricsQuery) -> ObtainedAnswer | None:
        on_failure = partial(self._note_failure, wider)
        need = replace(
            wanted.need,
            persist=False,
            bounds=own_bounds(self._settings),
            on_failure=on_failure,
            parser=self._splitter.parser(wider),
            reason=Reason.WIDER,
        )
        try:
            fetched, collapsed = await self._fetch_wider(wanted, wider, need)
        except AnswerTooLarge as exc:
            on_failure(exc)
            return None
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            on_failure(exc)  # perhaps it was too much: next time the query is asked as it came
            raise
        if fetched.entry.status != 200:
            on_failure(None)  # the upstream's 4xx to another question is no answer to this one
            return None
        entry = await self._keep_and_compute(wanted, wider, fetched)
        if entry is not None:
            made = Made.SERIES if wider == wider.in_full else Made.WINDOW
            return ObtainedAnswer(fetched=replace(fetched, entry=entry, stored=True), collapsed=collapsed, made=made)
        self._note_useless(wider, wanted.metrics, fetched.entry)
        return None

    def _is_hopeless(self, metrics: MetricsQuery) -> bool:
        """Tell whether a question about one series in full is known to have no answer that others can be computed from.

        Then it is asked as it came, and counted like any other: perhaps it pays to load the series.
        """
        return metrics.name is not None and not self._policy.is_promising(metrics, metrics)

    def _note_useless(self, wider: MetricsQuery, metrics: MetricsQuery, entry: Entry) -> None:
        """Note that the answer to a wider question didn't tell that to a question, unless that may be otherwise next time."""
        if self._computer.may_compute_from(entry) and self._policy.is_promising(wider, metrics):
            self._policy.note_useless_for(wider, metrics)

    def _note_failure(self, wider: MetricsQuery, error: UpstreamError | None) -> None:
        if error is None or isinstance(error, AnswerTooLarge):
            self._policy.note_unobtainable(wider)
        else:
            self._policy.note_failed(wider)

    async def _fetch_wider(self, wanted: WantedSeries, wider: MetricsQuery, need: Need) -> tuple[Fetched, bool]:
        """Return the answer to a wider question, from memory where it came a moment ago and is still being taken apart."""
        entry = self._encoder.held(wanted.tenant, wider.query.target)
        # An entry that a delta was added to would pass for one that was asked for in full.
        if entry is not None and entry.sent_at_s >= need.not_before_s and entry.full_asked_s is None:
            newer = wanted.need.refreshed_s < entry.sent_at_s
            if newer and self._lifetimes.judge(entry, wider.query, wanted.tenant) is Verdict.FRESH:
                return Fetched(tenant=wanted.tenant, entry=entry, stored=True), False
        return await self._fetcher.fetch(wanted.tenant, replace(wider.query, one_off=True), need)

    async def _keep_and_compute(self, wanted: WantedSeries, wider: MetricsQuery, fetched: Fetched) -> Entry | None:
        """Take an answer apart, keep what it tells, and return the wanted answer computed from it; None where that can't be."""
        extents = self._learner.installed_since(fetched.tenant, wider, fetched.entry.sent_at_s)
        if extents is None:
            extents = await self._proven(wanted, wider, fetched)
        if extents is None or not self._computer.may_compute_from(fetched.entry):
            return None
        fresh_s = self._lifetimes.of(wanted.query, fetched.tenant).fresh_s
        held = await self._learner.install(fetched.tenant, extents, persist=wanted.need.persist, fresh_s=fresh_s)
        recipe = recipe_of(extents, wanted.metrics)
        if recipe is None or (entry := await self._computer.compute(fetched.tenant, wanted.query, recipe)) is None:
            return None
        if held and wider != wanted.metrics and recipe_of(extents, wider) is not None:
            # No client asked for the wider answer itself, and it can be computed: memory would hold all of its rows twice.
            self._encoder.let_go(fetched.tenant, wider.query.target, fetched.entry)
        if not held and wanted.need.persist:
            self._encoder.keep(fetched.tenant, wanted.query.target, entry, Keeping.DISK)
        return entry

    async def _proven(self, wanted: WantedSeries, wider: MetricsQuery, fetched: Fetched) -> Extents | None:
        """Take an answer apart, and return it if it is proven whole."""
        extents = await self._splitter.take_apart(fetched, wider)
        if extents is None:
            return None
        self._policy.note_rows(extents)
        known = self._learner.known_windows(fetched.tenant, wider)
        whole = self._evidence.prove_by_known(fetched, extents, known)
        if whole is not None or _tells_nothing(extents):
            self._policy.note_proven(wider)
            return whole or extents
        proven = await self._prover.prove_by_probes(fetched, extents, wanted.need)
        if proven is None:
            self._policy.note_unproven(wider)
        else:
            self._policy.note_proven(wider)
        return proven


def _tells_nothing(extents: Extents) -> bool:
    """Tell whether nothing can be computed from an answer: it is about one name, which it doesn't have all of."""
    return extents.question.name is not None and not any(
        one.known in {Known.ALL, Known.PRESUMED} for one in extents.by_name.values()
    )
