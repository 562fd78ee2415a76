"""The fast path: a hit that was answered before is answered again without deciding everything anew.

The fast path, with `web.shortcut.seen` before it, is the only shortcut past the rest of the room. By the text of a request it
remembers the result of the ordinary way: host and query judged, entry found, plan made, coding chosen, tag compared. Each time
it checks whatever could give the ordinary way another result:

- the text is the same: the target, the method, and the header fields that are read;
- the asker may see the same: the guard has judged this very request, and the projects that the asker is limited to are part of
  the text;
- the key in use is the same, and so is the namespace;
- memory holds the very same entry: a refresh, a purge, a new coding, or a 404 of the upstream's puts another one in its place,
  or none;
- the entry is fresh, and as new as the request demands. A fresh entry is served in every condition of the upstream
  (`core.freshness.plan`), so that nothing else of the upstream's state matters;
- the client need not wait for its rate.

Where a check fails the request goes the ordinary way. What differs from one answer to the next (age, time to live, date,
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
from proxy.core.freshness.outcome import NAME, Kind
from proxy.core.freshness.verdict import Lifetimes, Verdict, age_s, judge, stale_s
from proxy.core.question.query import Query
from proxy.service.answering import Represented
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.tenancy import Tenancy, Tenant
from proxy.settings import Settings
from proxy.store.memory import MemoryStore
from proxy.web.accounting.accounting import Accounting
from proxy.web.accounting.context import RequestContext
from proxy.web.gate.guard import Visit
from proxy.web.gate.limits import ClientLimits
from proxy.web.shortcut.prepared import Prepared

# What the answer depends on, beside target, method and what the asker may see.
_FIELDS = ("Host", "Origin", "Accept-Encoding", "If-None-Match", "Cache-Control", "Pragma")
_VARYING = frozenset({"Age", "Cache-Status", "X-Request-ID", "Date"})
_MOST = 4_096
# Clients and browsers send some hundred characters; a client that sends more must not fill the memory.
_LONGEST_TEXT = 2_000
# What the answer to a request depends on, as it stands in the request.
RequestText = tuple[str | tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The result for the text of a request, valid as long as memory holds the entry.

    The entry is held weakly: memory alone decides what is kept. `oldest_s` is the greatest age in seconds that the request
    accepts. `head` is the status line and those fields that stay the same. `coding` is None where no body follows.
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
    """Remembers hits by the text of their requests, and answers such requests again."""

    def __init__(
        self,
        *,
        memory: MemoryStore,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        limits: ClientLimits,
        accounting: Accounting,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self._memory = memory
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._limits = limits
        self._accounting = accounting
        self._clock = clock
        self._settings = settings
        self._hits: LRUCache[RequestText, Hit] = LRUCache(_MOST)
        # Hosts, origins, what queries mean and what a request may demand follow from the settings.
        settings.follow(self._hits.clear)
        self._date_s: int | None = None
        self._date = b""

    @property
    def remembered(self) -> int:
        """How many hits are remembered."""
        return len(self._hits)

    def find(self, request: web.BaseRequest, visit: Visit) -> Hit | None:
        """Return the hit that is remembered for a request; None if there is none, or if it must go the ordinary way."""
        text = _text(request, visit)
        return None if text is None else self._hits.get(text)

    def answer(self, hit: Hit, visit: Visit, client: str, request_id: str) -> Prepared | None:
        """Return the answer, and count it; None where the hit holds no longer, or the client would have to wait.

        `client` is the one whose rate the request is accounted to.
        """
        started_s, now_s = self._clock.monotonic_s(), self._clock.now_s()
        entry = self._memory.peek(hit.namespace, hit.target)
        lifetimes = self._lifetimes.of(hit.query, hit.tenant)
        if entry is None or not self._holds(hit, entry, lifetimes, now_s) or not self._limits.take_at_once(client, started_s):
            return None
        body = _body(entry, hit.coding)
        age, ttl = int(age_s(entry, now_s)), math.floor(-stale_s(entry, now_s, lifetimes))
        varying = f"Age: {age}\r\nCache-Status: {NAME}; hit; ttl={ttl}\r\nX-Request-ID: {request_id}\r\n"
        self._accounting.hit(
            hit.query,
            visit,
            duration_s=self._clock.monotonic_s() - started_s,
            age_s=age,
            body_bytes=len(body),
            not_modified=hit.not_modified,
        )
        return Prepared(hit.head + varying.encode("ascii") + self._date_line(int(now_s)), body)

    def remember(
        self, context: RequestContext, query: Query, demand: Demand, found: Represented, response: web.Response
    ) -> None:
        """Remember the response to an ordinary request if it can be given again: a fresh hit with nothing else to report.

        What memory doesn't have as it went out is not remembered: an answer whose keys were put in another order, or a
        compressed form that the client waited for. Nor is what was decided, in part at least, by settings of before.
        """
        if context.visit.version != self._settings.version:
            return
        answer, coding = found.answer, found.coding
        if answer.outcome.kind is not Kind.HIT or answer.entry.status != 200 or answer.outcome.detail or query.unknown:
            return
        if self._memory.peek(answer.tenant.namespace, query.target) is not answer.entry:
            return
        if coding is not Coding.IDENTITY and coding not in answer.entry.encoded:
            return
        text = _text(context.request, context.visit)
        if text is None or _length(text) > _LONGEST_TEXT:
            return
        not_modified = response.status == 304
        self._hits[text] = Hit(
            tenant=answer.tenant,
            namespace=answer.tenant.namespace,
            target=query.target,
            query=query,
            entry=weakref.ref(answer.entry),
            oldest_s=demand.max_age_s,
            coding=None if not_modified or context.request.method == "HEAD" else coding,
            not_modified=not_modified,
            head=_head(response),
        )

    def _holds(self, hit: Hit, entry: Entry, lifetimes: Lifetimes, now_s: float) -> bool:
        """Tell whether the ordinary way would give the same hit now."""
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


def _text(request: web.BaseRequest, visit: Visit) -> RequestText | None:
    """Return what the answer to a request depends on; None where the request must go the ordinary way.

    That is anything but HTTP/1.1 on a connection that stays open, and whatever has a body.
    """
    if request.version != HttpVersion11 or not request.keep_alive or request.body_exists:
        return None
    getall, target = request.headers.getall, request.raw_path
    if not target.startswith("/"):
        target = f"{request.scheme} {target}"  # one that names a scheme must name that of the connection
    return (target, request.method, visit.grant.visibility, *[tuple(getall(name, ())) for name in _FIELDS])


def _length(text: RequestText) -> int:
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
