"""The web room put together, from what the service and the configuration bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.config import Config
from proxy.core.freshness.lifetimes import LifetimeTable
from proxy.core.question.routes import Route, RouteTable
from proxy.service.access.tokens import Tokens
from proxy.service.answering import Answerer
from proxy.service.fetching.tenancy import Tenancy
from proxy.service.purging import Purging
from proxy.service.status.lifetimes import RunLifetimes
from proxy.store.memory import MemoryStore
from proxy.telemetry import Telemetry
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.ids import RequestIds
from proxy.web.accounting.summary import AnswerSummary
from proxy.web.connection.server import Server
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.cors import Cors
from proxy.web.gate.guard import Guard
from proxy.web.gate.hosts import AllowedHosts
from proxy.web.gate.limits import ClientLimits
from proxy.web.handler import Handler
from proxy.web.intake import Intake
from proxy.web.pages.admin import Admin
from proxy.web.pages.gauges import expose_clients
from proxy.web.pages.health import Health, Section
from proxy.web.pages.openapi import OpenApi
from proxy.web.questions import Questions
from proxy.web.reading.demands import DemandReader
from proxy.web.reading.queries import QueryReader
from proxy.web.reading.unknown import UnknownParameters
from proxy.web.responder import Responder
from proxy.web.router import Router
from proxy.web.shortcut.fast import FastPath
from proxy.web.shortcut.seen import SeenRequests


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The room's server, and those of its parts that are looked at from outside."""

    server: Server
    intake: Intake
    routes: RouteTable
    limits: ClientLimits
    unknown: UnknownParameters
    fast: FastPath
    seen: SeenRequests
    summary: AnswerSummary


def open_web(
    config: Config,
    clock: Clock,
    telemetry: Telemetry,
    *,
    routes: Sequence[Route],
    table: LifetimeTable,
    tokens: Tokens | None,
    tenancy: Tenancy,
    memory: MemoryStore,
    lifetimes: RunLifetimes,
    answerer: Answerer,
    purging: Purging,
    sections: Sequence[Section],
    counts: Mapping[str, Callable[[], int]],
) -> Web:
    """Put the room together.

    `tokens` is None where none are needed. `sections` are what `/readyz` says of the other rooms; `counts` are what
    `/admin/state` says of them besides, by name. The caller has to run the summary.
    """
    ids, summary, unknown = RequestIds(), AnswerSummary(clock), UnknownParameters()
    accounting = Accounting(clock=clock, ids=ids, telemetry=telemetry, usage=telemetry.usage, summary=summary)
    guard, limits, cors = (
        Guard(config.access, tokens, clock),
        ClientLimits(config.access, clock),
        Cors(config.server.cors_origins),
    )
    access_headers = AccessHeaders(cors, by_token=tokens is not None)
    fast = FastPath(memory=memory, tenancy=tenancy, lifetimes=lifetimes, limits=limits, accounting=accounting, clock=clock)
    seen = SeenRequests(guard=guard, fast=fast, ids=ids)
    intake = Intake(seen)
    expose_clients(telemetry, intake, limits, unknown)
    responder = Responder(
        answerer=answerer,
        guard=guard,
        demands=DemandReader(config.freshness, table),
        access_headers=access_headers,
        accounting=accounting,
        fast=fast,
    )
    queries, table_of_routes = QueryReader(config.upstream, unknown), RouteTable(routes)
    questions = Questions(
        routes=table_of_routes,
        limits=limits,
        guard=guard,
        queries=queries,
        responder=responder,
        deadline_s=config.upstream.deadline_s,
    )
    health = Health(intake=intake, telemetry=telemetry, sections=sections)
    counts = {"requests": lambda: intake.requests, **counts}
    admin = Admin(guard=guard, health=health, usage=telemetry.usage, purging=purging, clock=clock, counts=counts)
    openapi = OpenApi(routes, access_headers, tokens=tokens is not None)
    hosts = AllowedHosts(config.server.allowed_hosts)
    router = Router(hosts=hosts, cors=cors, health=health, admin=admin, openapi=openapi, questions=questions)
    handler = Handler(guard=guard, seen=seen, router=router, accounting=accounting, access_headers=access_headers)
    server = Server(config.server, handler=handler, seen=seen, intake=intake, accounting=accounting)
    return Web(
        server=server,
        intake=intake,
        routes=table_of_routes,
        limits=limits,
        unknown=unknown,
        fast=fast,
        seen=seen,
        summary=summary,
    )
