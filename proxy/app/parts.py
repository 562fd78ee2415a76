"""Everything that is open, in one place: for whoever runs it, and for tests. No part of the proxy is given it."""

from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.log.lines import Lines
from proxy.service.access.scopes import Scopes
from proxy.service.access.tokens import Tokens
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.tenancy import Tenancy
from proxy.service.proof.proving import Prover
from proxy.service.proof.witnesses import Witnesses
from proxy.service.purging import Purging
from proxy.service.reader import Reader
from proxy.service.series.asking import Asker
from proxy.service.series.assembling import Assembler
from proxy.service.series.deltas import Deltas
from proxy.service.series.series import Series
from proxy.service.status.lifetimes import RunLifetimes
from proxy.service.status.statuses import Statuses
from proxy.store.tiers import TieredStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.web.opening import Web


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the rooms.

    `tokens` is None where none are needed. `lines` are those of the log, None where it isn't ours.
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
    tokens: Tokens | None
    scopes: Scopes
    purging: Purging
    telemetry: Telemetry
    lines: Lines | None
    web: Web
