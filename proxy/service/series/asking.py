"""How any answer is obtained that isn't in hand.

A query that isn't about series is asked as it came. For one that is, these are tried in this order:

1. How many series the run has is learned, where that would help (`service.series.run_sizes`).
2. What other queries have brought meanwhile may do (`service.series.computer`).
3. A delta brings up to date what is known of a live run's series, for everything that is being watched at once
   (`service.series.updating`).
4. A wider question is asked, which holds this one and probably the next ones (`service.series.widening`).
5. The query is asked as it came, and counted: a long series that such queries are about is loaded in the background once that
   pays (`service.series.loading`).
"""

from proxy.core.series.known_series import KnownSeries
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched
from proxy.service.series.computer import Computer
from proxy.service.series.loading import Loader
from proxy.service.series.run_sizes import RunSizes
from proxy.service.series.updating import Updater
from proxy.service.series.wanted import ObtainedAnswer, WantedAnswer, WantedSeries
from proxy.service.series.widening import Widener


class Asker:
    """Chooses how to obtain an answer, and obtains it."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        memo: Memo,
        computer: Computer,
        sizes: RunSizes,
        updater: Updater,
        widener: Widener,
        loader: Loader,
    ) -> None:
        self._fetcher = fetcher
        self._memo = memo
        self._computer = computer
        self._sizes = sizes
        self._updater = updater
        self._widener = widener
        self._loader = loader

    async def obtain(self, wanted: WantedAnswer) -> ObtainedAnswer:
        """Return the answer to a query. Raises UpstreamError."""
        if not isinstance(wanted, WantedSeries):
            return await self._as_it_came(wanted)
        await self._sizes.learn(wanted)
        known = self._computer.known_now(wanted)
        if (entry := await self._computer.compute_newer(wanted, known)) is not None:
            return ObtainedAnswer(
                fetched=Fetched(tenant=wanted.tenant, entry=entry, stored=True, called=False), collapsed=False
            )
        if (obtained := await self._by_other_questions(wanted, known)) is not None:
            return obtained
        self._loader.note(wanted.tenant, wanted.metrics, wanted.need)
        obtained = await self._as_it_came(wanted)
        if obtained.fetched.entry.status == 200:
            await self._computer.compare(obtained.fetched.tenant, wanted.metrics, obtained.fetched.entry)
        return obtained

    async def _by_other_questions(self, wanted: WantedSeries, known: KnownSeries) -> ObtainedAnswer | None:
        """Return an answer computed from what a delta or a wider question brought, None where neither served."""
        try:
            return await self._updater.obtain(wanted, known) or await self._widener.obtain(wanted, known)
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            # What failed was another question. This query fails as well for as long as that is remembered, so that the next
            # way isn't tried at once.
            self._memo.remember(CallKey(wanted.tenant.fingerprint, wanted.query.target), exc)
            raise

    async def _as_it_came(self, wanted: WantedAnswer) -> ObtainedAnswer:
        fetched, collapsed = await self._fetcher.fetch(wanted.tenant, wanted.query, wanted.need)
        return ObtainedAnswer(fetched=fetched, collapsed=collapsed)
