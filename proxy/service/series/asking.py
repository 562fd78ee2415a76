"""How an answer is obtained: by a delta, by a wider query, or by the query as it came.

In this order:

1. what is known of a live run's series is brought up to date by a delta, for everything that is being watched at once
   (`service.series.updating`);
2. a question that holds this one and probably the next ones is asked (`service.series.widening`);
3. the question itself; where many of those are about one long series, it is put together (`service.series.assembling`).
"""

from proxy.core.series.known_series import KnownSeries
from proxy.errors import KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched
from proxy.service.series.asked import Asked, AskedSeries, Brought
from proxy.service.series.assembling import Assembler
from proxy.service.series.computer import Computer
from proxy.service.series.run_sizes import RunSizes
from proxy.service.series.updating import Updating
from proxy.service.series.widening import Widening


class Asker:
    """Chooses how to obtain an answer, and obtains it."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        memo: Memo,
        computer: Computer,
        sizes: RunSizes,
        updating: Updating,
        widening: Widening,
        assembler: Assembler,
    ) -> None:
        self._fetcher = fetcher
        self._memo = memo
        self._computer = computer
        self._sizes = sizes
        self._updating = updating
        self._widening = widening
        self._assembler = assembler

    async def ask(self, asked: Asked) -> Brought:
        """Return the answer to a question. Raises UpstreamError."""
        if not isinstance(asked, AskedSeries):
            return await self._as_it_came(asked)
        await self._sizes.learn(asked)
        known = self._computer.now_known(asked)
        if (entry := await self._computer.come_meanwhile(asked, known)) is not None:
            return Brought(fetched=Fetched(tenant=asked.tenant, entry=entry, stored=True, asked=False), collapsed=False)
        if (brought := await self._by_others(asked, known)) is not None:
            return brought
        self._assembler.note(asked.tenant, asked.metrics, asked.need)
        brought = await self._as_it_came(asked)
        if brought.fetched.entry.status == 200:
            await self._computer.compare(brought.fetched.tenant, asked.metrics, brought.fetched.entry)
        return brought

    async def _by_others(self, asked: AskedSeries, known: KnownSeries) -> Brought | None:
        """Return an answer that other questions' answers brought, None where they didn't serve."""
        try:
            return await self._updating.ask(asked, known) or await self._widening.ask(asked, known)
        except (UpstreamBusy, KeyRefused):
            raise
        except UpstreamError as exc:
            # Next time it is asked for in another way, once the failure is no longer remembered.
            self._memo.remember(CallKey(asked.tenant.fingerprint, asked.query.target), exc)
            raise

    async def _as_it_came(self, asked: Asked) -> Brought:
        fetched, collapsed = await self._fetcher.fetch(asked.tenant, asked.query, asked.need)
        return Brought(fetched=fetched, collapsed=collapsed)
