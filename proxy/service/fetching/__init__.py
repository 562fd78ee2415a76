"""Fetching the upstream's answers: one call for all who ask the same at the same time.

- `fetcher` is the only way to the upstream for whoever serves a client. `need` has what a caller needs, and what it gets;
  `call_key` says what counts as the same, `addresses` what is sent for a question.
- `call_results` keeps what a call brings, unless it was purged meanwhile. `encoder` stores answers and makes their compressed
  forms. `memo` remembers failures and the upstream's 4xx for a short while (`brief`).
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.freshness.purge import Purges
from proxy.service.fetching.addresses import Addresses
from proxy.service.fetching.call_results import CallResults
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Memo
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.tenancy import Tenancy
from proxy.settings import Settings
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchingRoom:
    """The room's parts."""

    encoder: Encoder
    memo: Memo
    fetcher: Fetcher


def open_fetching(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    *,
    upstream: Upstream,
    store: TieredStore,
    tenancy: Tenancy,
    lifetimes: RunLifetimes,
    purges: Purges,
) -> FetchingRoom:
    """Open the room; the stack closes it."""
    encoder = Encoder(store.memory, store.disk)
    stack.push_async_callback(encoder.aclose)
    memo = Memo(settings, clock)
    results = CallResults(
        store=store,
        encoder=encoder,
        memo=memo,
        tenancy=tenancy,
        lifetimes=lifetimes,
        purges=purges,
        settings=settings,
    )
    fetcher = Fetcher(upstream, Addresses(tenancy), results, clock)
    stack.push_async_callback(fetcher.aclose)
    return FetchingRoom(encoder=encoder, memo=memo, fetcher=fetcher)
