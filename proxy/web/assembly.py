"""The web room put together, from what the service and the configuration bring."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.question.route import Route, RouteTable
from proxy.generation import Generation
from proxy.service.access.tokens import Tokens
from proxy.service.answering import Answerer
from proxy.service.history.recorder import History
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.purging import Purging
from proxy.service.tenancy import Tenancy
from proxy.service.view.viewing import Viewer
from proxy.service.watching.watching import Watching
from proxy.settings import Settings
from proxy.store.memory import MemoryStore
from proxy.telemetry import Telemetry
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.busiest import Busiest
from proxy.web.accounting.ids import RequestIds
from proxy.web.accounting.summary import AnswerSummary
from proxy.web.connection.server import Server
from proxy.web.encryption.certificate import Certificate
from proxy.web.gate.access_headers import AccessHeaders
from proxy.web.gate.cors import Cors
from proxy.web.gate.guard import Guard
from proxy.web.gate.hosts import AllowedHosts
from proxy.web.gate.limits import ClientLimits
from proxy.web.handler import Handler
from proxy.web.intake import Intake
from proxy.web.pages.admin import Admin
from proxy.web.pages.health import Health, Section
from proxy.web.pages.identity import HEALTH_PATH, VALIDATE_PATH, Identity
from proxy.web.pages.metrics import expose_clients
from proxy.web.pages.openapi import PATH as OPENAPI_PATH
from proxy.web.pages.openapi import OpenApi
from proxy.web.pages.page import Page
from proxy.web.pages.static import open_page
from proxy.web.pages.view.events import PATH as EVENTS_PATH
from proxy.web.pages.view.events import Events
from proxy.web.pages.view.series import SeriesPage
from proxy.web.pages.view.streams import Streams
from proxy.web.questions import Questions
from proxy.web.reading.demands import DemandReader
from proxy.web.reading.queries import QueryReader
from proxy.web.reading.unknown import UnknownParameters
from proxy.web.reading.views import VIEW_PATH
from proxy.web.responder import Responder
from proxy.web.router import Router
from proxy.web.shortcut.leases import Leases, share_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The room's server, and those of its parts that are looked at from outside."""

    server: Server
    intake: Intake
    routes: RouteTable
    limits: ClientLimits
    unknown: UnknownParameters
    leases: Leases
    summary: AnswerSummary
    streams: Streams
    busiest: Busiest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gate:
    """What of the gate others need."""

    guard: Guard
    limits: ClientLimits
    hosts: AllowedHosts
    cors: Cors
    access_headers: AccessHeaders


def open_web(
    settings: Settings,
    clock: Clock,
    telemetry: Telemetry,
    *,
    routes: Sequence[Route],
    tokens: Tokens,
    certificate: Certificate | None,
    tenancy: Tenancy,
    memory: MemoryStore,
    generation: Generation,
    lifetimes: RunLifetimes,
    answerer: Answerer,
    viewer: Viewer,
    watching: Watching,
    history: History,
    purging: Purging,
    sections: Sequence[Section],
    counts: Mapping[str, Callable[[], int]],
) -> Web:
    """Put the room together.

    `certificate` is None where connections aren't encrypted. `sections` are what `/readyz` says of the other rooms, `counts`
    what `/admin/state` says of them besides, by name. The caller has to run the summary and `busiest`.
    """
    gate, unknown, ids, deferred = _open_gate(settings, tokens, clock), UnknownParameters(), RequestIds(), telemetry.deferred
    usage, summary, busiest = telemetry.usage, AnswerSummary(clock, deferred), Busiest(deferred)
    accounting = Accounting(clock=clock, ids=ids, telemetry=telemetry, usage=usage, summary=summary, busiest=busiest)
    leases = Leases(
        memory=memory,
        generation=generation,
        guard=gate.guard,
        tenancy=tenancy,
        lifetimes=lifetimes,
        limits=gate.limits,
        accounting=accounting,
        ids=ids,
        clock=clock,
        settings=settings,
        most_bytes=share_of(settings.now.cache.memory_bytes),
    )
    deferred.add(leases.settle)
    intake = Intake(leases)
    expose_clients(telemetry, intake, gate.limits, unknown, leases)
    health = Health(intake=intake, telemetry=telemetry, sections=sections)
    counts = {"requests": lambda: intake.requests, **counts}
    table_of_routes = RouteTable(routes)
    responder = Responder(
        answerer=answerer,
        guard=gate.guard,
        demands=DemandReader(settings, lifetimes),
        access_headers=gate.access_headers,
        accounting=accounting,
        leases=leases,
        settings=settings,
    )
    streams = Streams(limits=gate.limits, intake=intake, telemetry=telemetry)
    events = Events(
        watching=watching,
        streams=streams,
        answerer=answerer,
        guard=gate.guard,
        limits=gate.limits,
        access_headers=gate.access_headers,
        clock=clock,
        settings=settings,
    )
    openapi = OpenApi(routes, gate.access_headers, tokens, settings)
    identity = Identity(tenancy, gate.access_headers, guard=gate.guard, limits=gate.limits, settings=settings)
    series = SeriesPage(
        viewer=viewer,
        busiest=busiest,
        guard=gate.guard,
        limits=gate.limits,
        access_headers=gate.access_headers,
        settings=settings,
    )
    router = Router(
        hosts=gate.hosts,
        cors=gate.cors,
        health=health,
        admin=Admin(
            guard=gate.guard,
            health=health,
            usage=usage,
            busiest=busiest,
            history=history,
            purging=purging,
            clock=clock,
            counts=counts,
        ),
        pages={
            OPENAPI_PATH: Page(name="openapi", respond=openapi.respond),
            VALIDATE_PATH: Page(name="auth_validate", respond=identity.validate),
            HEALTH_PATH: Page(name="api_health", respond=identity.health, is_public=True),
            VIEW_PATH: Page(name="view_series", respond=series.respond),
            EVENTS_PATH: Page(name="events", respond=events.respond),
            **open_page(),
        },
        questions=_open_questions(settings, gate, table_of_routes, unknown, responder),
    )
    handler = Handler(guard=gate.guard, leases=leases, router=router, accounting=accounting, access_headers=gate.access_headers)
    return Web(
        server=Server(settings, handler=handler, leases=leases, intake=intake, accounting=accounting, certificate=certificate),
        intake=intake,
        routes=table_of_routes,
        limits=gate.limits,
        unknown=unknown,
        leases=leases,
        summary=summary,
        streams=streams,
        busiest=busiest,
    )


def _open_gate(settings: Settings, tokens: Tokens, clock: Clock) -> _Gate:
    cors, hosts = Cors(settings), AllowedHosts(settings)
    return _Gate(
        guard=Guard(settings, tokens, hosts, clock),
        limits=ClientLimits(settings, clock),
        hosts=hosts,
        cors=cors,
        access_headers=AccessHeaders(cors, tokens),
    )


def _open_questions(
    settings: Settings, gate: _Gate, routes: RouteTable, unknown: UnknownParameters, responder: Responder
) -> Questions:
    return Questions(
        routes=routes,
        limits=gate.limits,
        guard=gate.guard,
        queries=QueryReader(settings, unknown),
        responder=responder,
        settings=settings,
    )
