"""A question about a live run answered by asking for what is new, where the rest is known well enough."""

from proxy.core.freshness.outcome import Made
from proxy.core.series.known_series import KnownSeries
from proxy.core.series.recipes import is_outstanding, recipe_of
from proxy.service.fetching.need import Fetched
from proxy.service.series.asked import AskedSeries, Brought
from proxy.service.series.computer import Computer
from proxy.service.series.deltas import Deltas, Done
from proxy.service.series.widening_policy import WideningPolicy


class Updating:
    """Answers from what deltas bring up to date."""

    def __init__(self, deltas: Deltas, computer: Computer, policy: WideningPolicy) -> None:
        self._deltas = deltas
        self._computer = computer
        self._policy = policy

    async def ask(self, asked: AskedSeries, known: KnownSeries) -> Brought | None:
        """Ask for what is new; None where that did not serve. `known`: what is known now of what is asked for.

        Raises UpstreamError.
        """
        if asked.whole or not known.recipes or self._is_worth_all(asked, known):
            return None
        done = await self._deltas.refreshed(asked, known)
        return None if done is None else await self._answer(asked, done)

    def _is_worth_all(self, asked: AskedSeries, known: KnownSeries) -> bool:
        """Tell whether asking for all series of a run now makes one call do for all of them from now on."""
        return not known.has_all_names and self._policy.chosen(asked.metrics) == asked.metrics.whole_run

    async def _answer(self, asked: AskedSeries, done: Done) -> Brought | None:
        for extents in self._computer.now_known(asked).windows:
            recipe = recipe_of(extents, asked.metrics)
            if recipe is not None and recipe.tail_asked_s >= done.started_s:
                entry = await self._computer.compute(asked.tenant, asked.query, recipe)
                if entry is None:
                    return None
                fetched = Fetched(tenant=asked.tenant, entry=entry, stored=True, elapsed_s=done.elapsed_s)
                return Brought(fetched=fetched, collapsed=done.collapsed, made=Made.DELTA)
            if recipe is None and not is_outstanding(extents, asked.metrics):
                # It has grown too long, or unclear.
                self._policy.note_vain(extents.question.densest, asked.metrics)
        return None
