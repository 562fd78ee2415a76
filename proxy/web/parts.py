"""Everything that the handlers use, in one place."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.core.routes import RouteTable
from proxy.log.lines import Lines
from proxy.service.asking import Asker
from proxy.service.assembling import Assembler
from proxy.service.deltas import Deltas
from proxy.service.encoder import Encoder
from proxy.service.fetcher import Fetcher
from proxy.service.lifetimes import RunLifetimes
from proxy.service.proving import Prover
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.scopes import Scopes
from proxy.service.series import Series
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Tenancy
from proxy.service.tokens import Tokens
from proxy.service.witnesses import Witnesses
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.web.cors import Cors
from proxy.web.fast import FastPath
from proxy.web.guard import Guard
from proxy.web.ids import RequestIds
from proxy.web.limits import ClientLimits
from proxy.web.queries import QueryReader
from proxy.web.seen import SeenRequests
from proxy.web.summed import SummedLog
from proxy.web.unknown import UnknownParameters


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
    fetcher: Fetcher
    tenancy: Tenancy
    store: TieredStore
    upstream: Upstream
    encoder: Encoder
    series: Series
    asker: Asker
    assembler: Assembler
    deltas: Deltas
    prover: Prover
    witnesses: Witnesses
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
