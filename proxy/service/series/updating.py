"""A question about a live run answered by a delta: only what is new is asked for, where the rest is known well enough."""

from proxy.core.freshness.outcome import Made
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.recipes import is_outstanding, recipe_of
from proxy.service.fetching.need import Fetched
from proxy.service.series.computer import Computer
from proxy.service.series.deltas import Deltas, Updated
from proxy.service.series.wanted import ObtainedAnswer, WantedSeries
from proxy.service.series.widening_policy import WideningPolicy


class Updater:
    """Answers questions from what deltas bring up to date."""

    def __init__(self, deltas: Deltas, computer: Computer, policy: WideningPolicy) -> None:
        self._deltas = deltas
        self._computer = computer
        self._policy = policy

    async def obtain(self, wanted: WantedSeries, known: KnownSeries) -> ObtainedAnswer | None:
        """Return an answer made of what is known and what is new, None where that did not serve. `known`: what is known now.

        Raises UpstreamError.
        """
        if wanted.in_full or not known.recipes or self._is_worth_all(wanted, known):
            return None
        updated = await self._deltas.update(wanted, known)
        return None if updated is None else await self._answer(wanted, updated)

    def _is_worth_all(self, wanted: WantedSeries, known: KnownSeries) -> bool:
        """Tell whether to ask for all series of the run instead, so that one call does for all of them from now on."""
        return not known.has_all_names and self._policy.choose(wanted.metrics) == wanted.metrics.whole_run

    async def _answer(self, wanted: WantedSeries, updated: Updated) -> ObtainedAnswer | None:
        for extents in self._computer.known_now(wanted).windows:
            recipe = recipe_of(extents, wanted.metrics)
            if recipe is not None and recipe.tail_asked_s >= updated.started_s:
                entry = await self._computer.compute(wanted.tenant, wanted.query, recipe)
                if entry is None:
                    return None
                fetched = Fetched(tenant=wanted.tenant, entry=entry, stored=True, elapsed_s=updated.elapsed_s)
                return ObtainedAnswer(fetched=fetched, collapsed=updated.collapsed, made=Made.DELTA)
            if recipe is None and not is_outstanding(extents, wanted.metrics):
                # The series has grown too long to be known whole, or rows of it are no longer certain.
                self._policy.note_useless_for(extents.question.densest, wanted.metrics)
        return None
