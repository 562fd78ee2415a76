"""Everything that can go wrong with a request, with the HTTP status that a client sees.

    ProxyError
    ├── BadRequest                  400  the request itself is faulty; nothing was asked upstream
    │   ├── BadQuery                400  parameters that the upstream would refuse, each named
    │   ├── Unauthorized            401  no token, or one that isn't good (any more)
    │   ├── OriginRefused           403  a browser's preflight from an origin that nobody listed (CORS)
    │   ├── AdminRefused            403  managing the proxy without an admin token, or from elsewhere
    │   ├── NetworkRefused          403  a client's address that is in none of the listed networks
    │   ├── ScopeRefused            403  a question that a token limited to projects cannot ask
    │   ├── WrongOrganization       403  a question about another organization than the shared key's
    │   ├── NotFound                404  not a route of the read API; nothing that this token may see
    │   ├── MethodNotAllowed        405  only GET and HEAD
    │   ├── NotAcceptable           406  Accept-Encoding excludes every coding that there is
    │   ├── QueryTooLong            414  longer than what the upstream accepts
    │   ├── NotJson                 415  a body to /admin that isn't said to be JSON
    │   └── WrongHost               421  a Host that nobody allowed (DNS rebinding)
    ├── ClientLimited               503  a client that asks too often or too much at once; carries when to ask again
    │   └── TooManyRequests         429  the same, where that status is configured
    ├── Draining                    503  the process is ending
    ├── NothingStored               504  only-if-cached, and nothing usable is stored
    └── UpstreamError                    the upstream was, or would have been, asked
        ├── UpstreamFailed          502  no connection, a cut answer, a status of 500 and above
        ├── UpstreamBadAnswer       502  an answer that is not of the documented shape
        ├── AnswerTooLarge          502  more than upstream.max_body_bytes
        ├── KeyRefused              502  the upstream does not accept the shared key
        ├── UpstreamBusy            503  a 429 or 503, or the budget is used up; carries when to ask again
        ├── Offline                 504  only the upstream could tell, and it is never asked
        ├── UpstreamTimeout         504  no complete answer within the deadline
        └── UpstreamStalled         504  an answer whose body came to a standstill

    ConfigError                          the configuration cannot be used; lists every fault
    TokenFileError                       the file with the tokens cannot be used
    StoreError                           the SQLite file cannot be used now; never fails a request

What a class's docstring says first is what clients and operators read in docs/reference/errors.md.

Each error is raised where it is noticed, translated once from the library's own (`raise … from exc`), and turned into an
`application/problem+json` document in one place, `proxy.web.reply.problem`. Clients may see the messages, so they hold no
secrets.
"""

from dataclasses import dataclass
from typing import ClassVar

# Faults that are named at most: more than any route has parameters.
_MOST_NAMED = 20


class ProxyError(Exception):
    """A fault in the proxy, where it is no other error. The log has more under the `request_id`.

    The other errors of a request derive from this one. `detail` is a sentence for the client that says what is wrong and what
    to do about it.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ProxyError):
    """HTTP/1.1 does not allow the request, its target holds raw bytes beyond ASCII, or it has a body although it only reads."""

    code = "bad-request"
    status = 400
    title = "Bad request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One faulty parameter: its name (`""` for the query as a whole) and what is wrong with it."""

    parameter: str
    message: str


class BadQuery(BadRequest):
    """pluto-api would refuse the parameters, or their encoding is malformed. `faults` names the first 20."""

    code = "bad-query"
    title = "Bad query"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        """Only the first faults are named: a query can hold thousands, and each message is longer than the parameter."""
        named = faults[:_MOST_NAMED]
        told = [f"{fault.parameter}: {fault.message}".removeprefix(": ") for fault in named]
        super().__init__("; ".join(told if len(named) == len(faults) else [*told, f"and {len(faults) - len(named)} more"]))
        self.faults = named


class Unauthorized(BadRequest):
    """A token is needed, and there is none, or one that is not known (any more) or has expired.

    `given` tells the two apart.
    """

    code = "unauthorized"
    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str, *, given: bool) -> None:
        super().__init__(detail)
        self.given = given


class OriginRefused(BadRequest):
    """A preflight is from an origin that is not in server.cors_origins, or a page of another origin asks for `/admin/`."""

    code = "origin-refused"
    status = 403
    title = "Origin refused"


class AdminRefused(BadRequest):
    """`/admin/` takes a token made with `--admin` or, where there are no tokens, a request from this machine."""

    code = "admin-refused"
    status = 403
    title = "Not for you to manage"


class NetworkRefused(BadRequest):
    """The client's address is in none of access.networks."""

    code = "network-refused"
    status = 403
    title = "Network refused"


class ScopeRefused(BadRequest):
    """The token is limited to projects, and the query does not keep to one."""

    code = "scope-refused"
    status = 403
    title = "Outside of the token's scope"


class WrongOrganization(BadRequest):
    """`organizationId` names another organization than the one whose data the shared key reads."""

    code = "wrong-organization"
    status = 403
    title = "Another organization"


class NotFound(BadRequest):
    """The path is not one of the routes, exactly as written; or there is nothing that the token may see."""

    code = "not-found"
    status = 404
    title = "Not found"


class MethodNotAllowed(BadRequest):
    """The method is not GET or HEAD: the proxy only reads. `Allow` names the methods of the path.

    `allowed` are these methods.
    """

    code = "method-not-allowed"
    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, *, allowed: str = "GET, HEAD") -> None:
        super().__init__(detail)
        self.allowed = allowed


class NotAcceptable(BadRequest):
    """`Accept-Encoding` excludes identity and names nothing that the proxy has."""

    code = "not-acceptable"
    status = 406
    title = "Not acceptable"


class QueryTooLong(BadRequest):
    """The query is longer than pluto-api accepts, about 16 kB."""

    code = "query-too-long"
    status = 414
    title = "Query too long"


class NotJson(BadRequest):
    """A request to `/admin/purge` must say `Content-Type: application/json`.

    Browsers let any page send a body of another type.
    """

    code = "not-json"
    status = 415
    title = "Not JSON"


class WrongHost(BadRequest):
    """The request's host is neither a loopback name nor in server.allowed_hosts.

    The host is that of `Host`, or of a target in the absolute form.
    """

    code = "wrong-host"
    status = 421
    title = "Misdirected request"


class ClientLimited(ProxyError):
    """The client asks for more than it may. `Retry-After` and `RateLimit` say when to ask again.

    `retry_after_s`: the seconds until then. `policy`: the limit, `rate`, `concurrency`, `streams` or `watched`. The status is
    not 429, since the upstream's Python client gives up at that.
    """

    code = "client-limited"
    status = 503
    title = "Too many requests"

    def __init__(self, detail: str, *, policy: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.policy = policy
        self.retry_after_s = retry_after_s


class TooManyRequests(ClientLimited):
    """The client asks for more than it may, where access.client_limit_status is 429."""

    status = 429


class Draining(ProxyError):
    """The process is ending, and finishes only what is under way."""

    code = "draining"
    status = 503
    title = "The proxy is ending"


class NothingStored(ProxyError):
    """The request says `only-if-cached`, and nothing usable is stored (RFC 9111 section 5.2.1.7)."""

    code = "nothing-stored"
    status = 504
    title = "Nothing stored"


class UpstreamError(ProxyError):
    """The upstream could not be made to answer.

    `upstream_status`: the status of its response, None without one. `transient`: whether the same request may succeed a moment
    later.
    """

    code = "upstream-failed"
    status = 502
    title = "Upstream failed"

    def __init__(self, detail: str, *, upstream_status: int | None = None, transient: bool = False) -> None:
        super().__init__(detail)
        self.upstream_status = upstream_status
        self.transient = transient


class UpstreamFailed(UpstreamError):
    """pluto-api could not be reached, the connection broke, or its status was one that says that it failed."""


class UpstreamBadAnswer(UpstreamError):
    """pluto-api's answer does not have the documented shape. It is never stored."""

    code = "upstream-bad-answer"
    title = "Upstream answered something unexpected"


class AnswerTooLarge(UpstreamError):
    """The answer has more bytes than upstream.max_body_bytes. Ask for less."""

    code = "answer-too-large"
    title = "Answer too large"


class KeyRefused(UpstreamError):
    """pluto-api refuses the shared key. It is tried again every 30 s, or when the key changes.

    The client's own key plays no part.
    """

    code = "key-refused"
    title = "Shared key refused"


class UpstreamBusy(UpstreamError):
    """Nothing is stored, and pluto-api cannot be asked in time: it asks to be left alone, too many wait already, or it has not
    said yet which organization the shared key belongs to. `Retry-After` says when to ask again.

    `retry_after_s`: the seconds until then.
    """

    code = "upstream-busy"
    status = 503
    title = "Upstream busy"

    def __init__(self, detail: str, *, retry_after_s: float, upstream_status: int | None = None) -> None:
        super().__init__(detail, upstream_status=upstream_status)
        self.retry_after_s = retry_after_s


class Offline(UpstreamError):
    """Nothing is stored, and pluto-api is never asked (upstream.offline)."""

    code = "offline"
    status = 504
    title = "Not stored, and the proxy is offline"


class UpstreamTimeout(UpstreamError):
    """No complete answer within upstream.deadline_s, or no connection within upstream.connect_timeout_s."""

    code = "upstream-timeout"
    status = 504
    title = "Upstream too slow"


class UpstreamStalled(UpstreamError):
    """The answer began, and then came to a standstill (upstream.stall_s).

    It is no UpstreamTimeout, which is held against the upstream only where the call had a fair share of the deadline.
    """

    code = "upstream-stalled"
    status = 504
    title = "Upstream stalled"


class ConfigError(Exception):
    """A configuration that cannot be used; `faults` are one-line messages, each beginning with the path of its key."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class CommandError(Exception):
    """A command that cannot do what it was asked for; the message is one line that says what is wrong."""


class TokenFileError(Exception):
    """The file with the tokens cannot be read or written; the message names it and says what to do."""


class StoreError(Exception):
    """The store cannot be read or written now. Logged and counted as a miss; it never fails a read."""
