"""Everything that the handlers use, in one place."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.core.question.routes import RouteTable
from proxy.log.lines import Lines
from proxy.service.access.scopes import Scopes
from proxy.service.access.tokens import Tokens
from proxy.service.fetching import Fetching
from proxy.service.knowledge.shelves import Shelves
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.proof import Proof
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.series import SeriesRoom
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Tenancy
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import Turnstile
from proxy.web.gate.cors import Cors
from proxy.web.gate.guard import Guard
from proxy.web.gate.limits import ClientLimits
from proxy.web.reply.ids import RequestIds
from proxy.web.reply.queries import QueryReader
from proxy.web.reply.summed import SummedLog
from proxy.web.reply.unknown import UnknownParameters
from proxy.web.shortcut.fast import FastPath
from proxy.web.shortcut.seen import SeenRequests


@dataclass(slots=True, kw_only=True)
class Parts:
    """What the handlers use.

    `tokens` is None where none are needed. `openapi` is the document about the proxy's own surface. `lines` are those of the
    log, None where it isn't ours. `requests` counts those received. `draining` is set when the process was told to end and only
    finishes what is under way.
    """

    config: Config
    clock: Clock
    reader: Reader
    tenancy: Tenancy
    store: TieredStore
    upstream: Upstream
    turnstile: Turnstile
    shelves: Shelves
    fetching: Fetching
    proof: Proof
    series: SeriesRoom
    statuses: Statuses
    lifetimes: RunLifetimes
    routes: RouteTable
    tokens: Tokens | None
    guard: Guard
    limits: ClientLimits
    scopes: Scopes
    purging: Purging
    cors: Cors
    openapi: bytes
    queries: QueryReader
    unknown: UnknownParameters
    summed: SummedLog
    ids: RequestIds
    fast: FastPath
    seen: SeenRequests
    telemetry: Telemetry
    lines: Lines | None
    requests: int = 0
    draining: bool = False
