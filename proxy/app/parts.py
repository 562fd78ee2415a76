"""Everything that is open, in one place, for the command line and for tests. No part of the proxy gets it."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.service.access.tokens import Tokens
from proxy.service.fetching import FetchingRoom
from proxy.service.history.recorder import History
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof import ProofRoom
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.series import SeriesRoom
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Tenancy
from proxy.service.view import ViewRoom
from proxy.service.watching.watching import Watching
from proxy.settings import Settings
from proxy.settings.reloads import Reloads
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream
from proxy.upstream.credential import Credential
from proxy.upstream.turnstile import Turnstile
from proxy.web.assembly import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The rooms, and what stands between them."""

    settings: Settings
    credential: Credential
    tokens: Tokens
    reloads: Reloads
    clock: Clock
    store: TieredStore
    upstream: Upstream
    turnstile: Turnstile
    tenancy: Tenancy
    lifetimes: RunLifetimes
    fetching: FetchingRoom
    statuses: Statuses
    shelves: Shelves
    proof: ProofRoom
    series: SeriesRoom
    reader: Reader
    view: ViewRoom
    purging: Purging
    watching: Watching
    history: History
    web: Web
