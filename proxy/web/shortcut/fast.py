"""The fast path: a hit that was answered before, answered again without deciding it anew.

It is a shortcut past the room's other files, and with `web.shortcut.seen` before it the only one. What it remembers is the
outcome of the whole way (host and query judged, entry found, plan made, coding chosen, tag compared) for one text of a request;
what it checks each time is everything that could make that outcome another one:

- the bytes of the request that the outcome depends on are the same: target, method, and the header fields that are read;
- whoever asks may see the same: who they are was judged for this very request before, and the projects that they are limited to
  are part of what a hit is remembered by;
- the key in use, and so the namespace, is the same;
- memory holds the very same entry under that question: a refresh, a purge, another coding that has become ready, or the
  upstream's 404 puts another one there, or none;
- the entry is fresh, and as new as the request demands. A fresh entry is served in every condition of the upstream
  (`core.freshness.plan`), so nothing else of the upstream's state matters;
- the client need not wait for its rate.

Where any of that fails the request goes the ordinary way. What differs from one answer to the next (age, time to live, date,
request id) is written anew; counters and the log see the hit like any other.
"""

import math
import weakref
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import HttpVersion11, web
from cachetools import LRUCache

from proxy.clock import Clock
from proxy.core.freshness.directives import Demand
from proxy.core.freshness.entry import Coding, Entry
from proxy.core.freshness.outcome import NAME
from proxy.core.freshness.verdict import Lifetimes, Verdict, age_s, judge, stale_s
from proxy.core.question.query import Query
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.reader import Answer
from proxy.service.tenancy import Tenancy, Tenant
from proxy.store.memory import MemoryStore
from proxy.telemetry import Telemetry
from proxy.web.gate.guard import Visit
from proxy.web.gate.limits import ClientLimits
from proxy.web.reply.ids import RequestIds
from proxy.web.reply.summed import SummedLog
from proxy.web.shortcut.prepared import Ready

# What the outcome depends on, beside target and method.
_FIELDS = ("Host", "Origin", "Accept-Encoding", "If-None-Match", "Cache-Control", "Pragma")
_VARYING = frozenset({"Age", "Cache-Status", "X-Request-ID", "Date"})
_MOST = 4_096
# A request that a client or a browser sends is some hundred characters; who writes more must not fill the memory.
_LONGEST_TEXT = 2_000
Text = tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What one text of a request comes to, as long as memory holds the entry.

    The entry is held weakly: memory alone decides what is kept. `oldest_s` is the greatest age in seconds that the request
    accepts, `head` the status line and the fields that stay the same; `coding` is None where
    no body follows.
    """

    tenant: Tenant
    namespace: str
    target: str
    query: Query
    entry: "weakref.ref[Entry]"
    oldest_s: float
    coding: Coding | None
    not_modified: bool
    head: bytes


class FastPath:
    """Remembers hits by the text of their requests."""

    def __init__(
        self,
        *,
        memory: MemoryStore,
        tenancy: Tenancy,
        clock: Clock,
        lifetimes: RunLifetimes,
        limits: ClientLimits,
        ids: RequestIds,
        summed: SummedLog,
        telemetry: Telemetry,
    ) -> None:
        self._memory = memory
        self._tenancy = tenancy
        self._clock = clock
        self._lifetimes = lifetimes
        self._limits = limits
        self._ids = ids
        self._summed = summed
        self._telemetry = telemetry
        self._hits: LRUCache[Text, Hit] = LRUCache(_MOST)
        self._date_s: int | None = None
        self._date = b""

    def text(self, request: web.BaseRequest, scope: str) -> Text | None:
        """Return what the outcome of a request depends on; None where it must go the ordinary way.

        That is anything but HTTP/1.1 on a connection that stays open, and whatever has a body. `scope` stands for what the
        one who asks may see.
        """
        if request.version != HttpVersion11 or not request.keep_alive or request.body_exists:
            return None
        getall = request.headers.getall
        return (request.raw_path, request.method, scope, *[tuple(getall(name, ())) for name in _FIELDS])

    def hit(self, text: Text) -> Hit | None:
        """Return what a text came to before."""
        return self._hits.get(text)

    def ready(self, hit: Hit, visit: Visit, client: str, given_id: str | None) -> Ready | None:
        """Return the answer, and count it; None where the hit holds no longer, or the client would have to wait.

        `client` is whose rate it is accounted to, `given_id` the request's id where it brought a sane one.
        """
        started_s, now_s = self._clock.monotonic_s(), self._clock.now_s()
        entry = self._memory.peek(hit.namespace, hit.target)
        lifetimes = self._lifetimes.of(hit.query, hit.tenant)
        if entry is None or not self._holds(hit, entry, lifetimes, now_s) or not self._limits.take_at_once(client, started_s):
            return None
        body = _body(entry, hit.coding)
        age, ttl = int(age_s(entry, now_s)), math.floor(-stale_s(entry, now_s, lifetimes))
        varying = f"Age: {age}\r\nCache-Status: {NAME}; hit; ttl={ttl}\r\nX-Request-ID: {given_id or self._ids.new()}\r\n"
        duration_s = self._clock.monotonic_s() - started_s
        self._telemetry.answered(hit.query.route.name, "hit", duration_s, stale=None, not_modified=hit.not_modified)
        self._telemetry.usage.note(visit.grant.name, "hit", len(body))
        self._summed.note("hit", duration_s, age, not_modified=hit.not_modified)
        return Ready(hit.head + varying.encode("ascii") + self._date_line(int(now_s)), body)

    def remember(
        self, text: Text, query: Query, demand: Demand, answer: Answer, *, coding: Coding, response: web.Response
    ) -> None:
        """Remember the outcome of an ordinary request, if it can come again: a fresh hit and nothing else to tell.

        A form that the client waited for is not in the entry that it was made of, but in the one that took its place.
        """
        if answer.outcome.kind != "hit" or answer.entry.status != 200 or answer.outcome.detail or query.unknown:
            return
        if _length(text) > _LONGEST_TEXT or (coding is not Coding.IDENTITY and coding not in answer.entry.encoded):
            return
        not_modified = response.status == 304
        self._hits[text] = Hit(
            tenant=answer.tenant,
            namespace=answer.tenant.namespace,
            target=query.target,
            query=query,
            entry=weakref.ref(answer.entry),
            oldest_s=demand.oldest_s,
            coding=None if not_modified or text[1] == "HEAD" else coding,
            not_modified=not_modified,
            head=_head(response),
        )

    def _holds(self, hit: Hit, entry: Entry, lifetimes: Lifetimes, now_s: float) -> bool:
        """Tell whether a hit is still what the ordinary way would come to."""
        tenant = self._tenancy.current()
        return (
            entry is hit.entry()
            and tenant is hit.tenant
            and tenant.namespace == hit.namespace
            and now_s - entry.sent_at_s <= hit.oldest_s
            and judge(entry, now_s, lifetimes) is Verdict.FRESH
        )

    def _date_line(self, second: int) -> bytes:
        if second != self._date_s:
            self._date_s = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode("ascii")
        return self._date


def _length(text: Text) -> int:
    return sum(len(part) if isinstance(part, str) else sum(map(len, part)) for part in text)


def _body(entry: Entry, coding: Coding | None) -> bytes:
    if coding is None:
        return b""
    return entry.body if coding is Coding.IDENTITY else entry.encoded[coding]


def _head(response: web.Response) -> bytes:
    """Return the status line and the fields of an ordinary response that stay the same, each with its line end."""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name not in _VARYING]
    if response.status != 304:
        lines.append(f"Content-Length: {response.content_length or 0}")
    return "".join(f"{line}\r\n" for line in [*lines, "Server: pluto-proxy"]).encode("ascii")
