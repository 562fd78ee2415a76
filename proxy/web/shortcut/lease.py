"""A lease: an answer as bytes, and for how long it is the answer. `web.shortcut` tells what it promises."""

import math
import os
from email.utils import formatdate

from aiohttp import web

from proxy.core.freshness.entry import Coding, Entry
from proxy.core.freshness.outcome import NAME
from proxy.core.freshness.verdict import Lifetimes, age_s, stale_s
from proxy.core.question.query import Query
from proxy.service.tenancy import Tenant
from proxy.store.contract import EntryKey
from proxy.web.accounting.ids import BATCH, ENDS
from proxy.web.shortcut.prepared import Prepared
from proxy.web.shortcut.request_text import RequestText, length_of

# For so long at most files of keys and tokens are not looked at. With the half second between two looks at the tokens it keeps
# the promise that a revoked one is refused within a second.
LONGEST_S = 0.25
# A larger body stays where it is, and is written from there: to copy it would cost more than a second piece of a write does.
JOINED_BYTES = 16_384
# The fields that say something else each time, and how what they say begins.
_VARYING = {"Age": "", "Cache-Status": f"{NAME}; hit; ttl=", "X-Request-ID": "", "Date": ""}
# What a lease costs beside its text and its bytes.
_OVERHEAD_BYTES = 2_000
_ID_BYTES = len(ENDS[0])


class Lease:
    """The answer to the requests of one text, made of one entry.

    - It lasts from `since_s` to `until_s` by the machine's clock, while the generation is `generation`.
    - `head` has the whole answer where its body is small, else all but `body`; both together have `whole_bytes`.
    - `file` is the descriptor of a file in memory that holds `body`, None where there is none.
    - `id_at` is where in `head` the end of the request's id stands, and `ids` how many ids with its beginning were given out.
    - `body_bytes` is the length of the answer's body, `age_s` what it says of its age, `took_s` how long it took to write it.
    - `entry` is None once it has ended for good.
    """

    __slots__ = (
        "_batch",
        "_constant",
        "_expires_at_s",
        "_oldest_s",
        "age_s",
        "body",
        "body_bytes",
        "coding",
        "entry",
        "file",
        "generation",
        "head",
        "id_at",
        "ids",
        "namespace",
        "not_modified",
        "query",
        "since_s",
        "size_bytes",
        "tenant",
        "text",
        "took_s",
        "until_s",
        "whole_bytes",
    )

    def __init__(
        self,
        text: RequestText,
        *,
        tenant: Tenant,
        query: Query,
        entry: Entry,
        oldest_s: float,
        expires_at_s: float,
        coding: Coding | None,
        response: web.Response,
    ) -> None:
        """`oldest_s`: the greatest age in seconds that the request accepts. `expires_at_s`: when the grant expires (wall time).

        `coding`: None where no body follows.
        `response`: an ordinary response to the request, as the web room has made it.
        """
        self.text = text
        self.tenant = tenant
        self.namespace = tenant.namespace
        self.query = query
        self.entry: Entry | None = entry
        self._oldest_s = oldest_s
        self._expires_at_s = expires_at_s
        self.coding = coding
        self.not_modified = response.status == 304
        self._constant = _constant(response)
        self.since_s = self.until_s = -math.inf
        self.generation = -1
        self.head = bytearray()
        self.body = b""
        self.file: int | None = None
        self.id_at = slice(0, 0)
        self._batch = b""
        self.ids = BATCH
        self.age_s = 0
        self.took_s = 0.0
        self.whole_bytes = 0
        self.body_bytes = len(self._body_of(entry))
        of_texts = 4 * length_of(text) + 2 * sum(map(len, self._constant))
        self.size_bytes = _OVERHEAD_BYTES + of_texts + min(self.body_bytes, JOINED_BYTES)

    @property
    def entry_key(self) -> EntryKey:
        """Where in memory its entry is."""
        return self.namespace, self.query.target

    def accepts(self, entry: Entry, now_s: float) -> bool:
        """Tell whether an entry is new enough for the request, and the grant has not expired."""
        return now_s - entry.sent_at_s <= self._oldest_s and now_s < self._expires_at_s

    def end(self) -> None:
        """End it for good, and let go of the entry."""
        self.since_s = self.until_s = -math.inf
        self.entry, self.head, self.body, self._constant = None, bytearray(), b"", []
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def give_ids(self, batch: bytes) -> None:
        """Have the ids of the next BATCH requests begin so."""
        self._batch, self.ids = batch, 0

    def keep_in(self, file: int) -> None:
        """Have its body sent from a file that holds it; from now on the descriptor is its own."""
        self.file = file
        self.size_bytes += len(self.body)

    def note_time(self, took_s: float) -> None:
        """Note how long it took to judge and to write it."""
        self.took_s = took_s

    def renew(self, entry: Entry, lifetimes: Lifetimes, generation: int, *, now_s: float, machine_s: float) -> None:
        """Write the answer of this moment, and let it last as long as it is right.

        `entry` is fresh by these lifetimes. The moment is given by both clocks (`proxy.clock`).
        """
        ttl_s = -stale_s(entry, now_s, lifetimes)
        age, ttl, second = int(age_s(entry, now_s)), math.floor(ttl_s), math.floor(now_s)
        before_age, before_ttl, before_id, before_date = self._constant
        before = f"{before_age}{age}{before_ttl}{ttl}{before_id}".encode("ascii")
        after = f"{before_date}{formatdate(second, usegmt=True)}\r\n\r\n".encode("ascii")
        body = self._body_of(entry)
        is_joined = len(body) <= JOINED_BYTES
        self.head = bytearray(b"".join((before, self._batch, ENDS[0], after, body if is_joined else b"")))
        self.body = b"" if is_joined else body
        self.whole_bytes = len(self.head) + len(self.body)
        at = len(before) + len(self._batch)
        self.id_at, self.age_s = slice(at, at + _ID_BYTES), age
        # It is another answer from the first of these moments on, or after the last one at which its ttl is rounded as now.
        next_s = [entry.sent_at_s + age + 1, second + 1, now_s + LONGEST_S, self._expires_at_s]
        last_s = [entry.sent_at_s + self._oldest_s]
        if ttl:
            last_s.append(now_s + (ttl_s - ttl))
        else:
            next_s.append(now_s + ttl_s)
        until_s = min(*next_s, math.nextafter(min(last_s), math.inf))
        self.generation = generation
        self.since_s, self.until_s = machine_s, machine_s + (until_s - now_s)

    def with_id(self, request_id: str) -> Prepared:
        """Return the answer with an id that a request has brought."""
        end = self.id_at.stop
        begin = self.id_at.start - len(self._batch)
        return Prepared(bytes(self.head[:begin]) + request_id.encode("ascii") + bytes(self.head[end:]), self.body)

    def _body_of(self, entry: Entry) -> bytes:
        if self.coding is None:
            return b""
        return entry.body if self.coding is Coding.IDENTITY else entry.encoded[self.coding]


def _constant(response: web.Response) -> list[str]:
    """Return what of a response's head stays the same: the text before the age, the ttl, the request's id and the date.

    The fields stand in the order in which the ordinary way sends them: the handler adds the id and the server, and aiohttp the
    length and the date.
    """
    fields = {**response.headers, "X-Request-ID": "", "Server": "pluto-proxy"}
    if response.status != 304:
        fields["Content-Length"] = str(response.content_length or 0)
    text, texts = f"HTTP/1.1 {response.status} {response.reason}", []
    for name, value in [*fields.items(), ("Date", "")]:
        text += f"\r\n{name}: "
        if name in _VARYING:
            texts.append(text + _VARYING[name])
            text = ""
        else:
            text += value
    return texts
