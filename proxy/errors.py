"""Everything that can go wrong with a request, with the HTTP status that a client sees.

    ProxyError
    ├── BadRequest                  400  the request itself is faulty; nothing was asked upstream
    │   ├── BadQuery                400  parameters that the upstream would refuse, each named
    │   ├── Unauthorized            401  no token, or one that isn't good (any more)
    │   ├── OriginRefused           403  a browser's preflight from an origin that nobody listed (CORS)
    │   ├── AdminRefused            403  managing the proxy without an admin token, or from elsewhere
    │   ├── NetworkRefused          403  a client's address that is in none of the listed networks
    │   ├── ScopeRefused            403  a question that a token limited to projects cannot ask
    │   ├── WrongOrganization   403  a question about another organization than the shared key's
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
        ├── UpstreamTimeout         504  no complete answer within the deadline
        └── UpstreamStalled         504  an answer whose body came to a standstill

    ConfigError                          the configuration cannot be used; lists every fault
    TokenFileError                       the file with the tokens cannot be used
    StoreError                           the SQLite file cannot be used now; never fails a request

Each error is raised where it is noticed, translated once from the library's own (`raise … from exc`), and turned into an
`application/problem+json` document in one place, `proxy.web.reply.problem`. Clients may see the messages, so they hold no
secrets.
"""

from dataclasses import dataclass
from typing import ClassVar

# Faults that are named at most: more than any route has parameters.
_MOST_NAMED = 20


class ProxyError(Exception):
    """A request that cannot be answered with data.

    `detail` is a sentence for the client that says what is wrong and what to do about it.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ProxyError):
    """A request that is wrong in itself."""

    code = "bad-request"
    status = 400
    title = "Bad request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One faulty parameter: its name (`""` for the query as a whole) and what is wrong with it."""

    parameter: str
    message: str


class BadQuery(BadRequest):
    """Parameters that the upstream would refuse, or whose encoding has no certain meaning."""

    code = "bad-query"
    title = "Bad query"

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        """Only the first faults are named: a query can hold thousands, and each message is longer than the parameter."""
        named = faults[:_MOST_NAMED]
        told = [f"{fault.parameter}: {fault.message}".removeprefix(": ") for fault in named]
        super().__init__("; ".join(told if len(named) == len(faults) else [*told, f"and {len(faults) - len(named)} more"]))
        self.faults = named


class Unauthorized(BadRequest):
    """A request without a token where one is needed, or with an invalid one; `given` tells the two apart."""

    code = "unauthorized"
    status = 401
    title = "Unauthorized"

    def __init__(self, detail: str, *, given: bool) -> None:
        super().__init__(detail)
        self.given = given


class OriginRefused(BadRequest):
    """A preflight from a page of an origin that is not in server.cors_origins."""

    code = "origin-refused"
    status = 403
    title = "Origin refused"


class AdminRefused(BadRequest):
    """A request to manage the proxy without an admin token or, where there are no tokens, from another machine or page."""

    code = "admin-refused"
    status = 403
    title = "Not for you to manage"


class NetworkRefused(BadRequest):
    """A client whose address is in none of access.networks."""

    code = "network-refused"
    status = 403
    title = "Network refused"


class ScopeRefused(BadRequest):
    """A question that does not keep to one project, asked with a token that is limited to projects."""

    code = "scope-refused"
    status = 403
    title = "Outside of the token's scope"


class WrongOrganization(BadRequest):
    """A question that names another organization than the one whose data the shared key reads."""

    code = "wrong-organization"
    status = 403
    title = "Another organization"


class NotFound(BadRequest):
    """A path that is not one of the routes; or something that a token may not see, whether it is there or not."""

    code = "not-found"
    status = 404
    title = "Not found"


class MethodNotAllowed(BadRequest):
    """A method other than GET and HEAD, since the proxy only reads; `allowed` are those of the path."""

    code = "method-not-allowed"
    status = 405
    title = "Method not allowed"

    def __init__(self, detail: str, *, allowed: str = "GET, HEAD") -> None:
        super().__init__(detail)
        self.allowed = allowed


class NotAcceptable(BadRequest):
    """An Accept-Encoding that excludes identity and names no coding that this proxy has."""

    code = "not-acceptable"
    status = 406
    title = "Not acceptable"


class QueryTooLong(BadRequest):
    """A query that the upstream would refuse for its length (431 from about 16 kB on)."""

    code = "query-too-long"
    status = 414
    title = "Query too long"


class NotJson(BadRequest):
    """A request to change something whose body isn't said to be JSON: browsers let any page send such requests."""

    code = "not-json"
    status = 415
    title = "Not JSON"


class WrongHost(BadRequest):
    """A host, in `Host` or in the target, that is neither a loopback address nor an allowed one; or another scheme."""

    code = "wrong-host"
    status = 421
    title = "Misdirected request"


class ClientLimited(ProxyError):
    """A client over its limits whose request would have waited too long. It may ask again in `retry_after_s` seconds.

    `policy`: the limit, `rate`, `concurrency`, `streams` or `watched`. The status is not 429, since the upstream's Python
    client gives up at that.
    """

    code = "client-limited"
    status = 503
    title = "Too many requests"

    def __init__(self, detail: str, *, policy: str, retry_after_s: float) -> None:
        super().__init__(detail)
        self.policy = policy
        self.retry_after_s = retry_after_s


class TooManyRequests(ClientLimited):
    """The same, where access.client_limit_status says so."""

    status = 429


class Draining(ProxyError):
    """The process is ending, and finishes only what is under way."""

    code = "draining"
    status = 503
    title = "The proxy is ending"


class NothingStored(ProxyError):
    """The request forbids asking the upstream, and nothing usable is stored (RFC 9111 section 5.2.1.7)."""

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
    """No connection, a connection that broke, or a status of 500 and above."""


class UpstreamBadAnswer(UpstreamError):
    """An answer that does not have the documented shape; it is never stored."""

    code = "upstream-bad-answer"
    title = "Upstream answered something unexpected"


class AnswerTooLarge(UpstreamError):
    """An answer with more bytes than upstream.max_body_bytes."""

    code = "answer-too-large"
    title = "Answer too large"


class KeyRefused(UpstreamError):
    """The upstream does not accept the key that this proxy holds; the client's own key plays no part."""

    code = "key-refused"
    title = "Shared key refused"


class UpstreamBusy(UpstreamError):
    """The upstream is in a cool-down, or the budget is used up. The client may ask again in `retry_after_s` seconds."""

    code = "upstream-busy"
    status = 503
    title = "Upstream busy"

    def __init__(self, detail: str, *, retry_after_s: float, upstream_status: int | None = None) -> None:
        super().__init__(detail, upstream_status=upstream_status)
        self.retry_after_s = retry_after_s


class Offline(UpstreamError):
    """Only the upstream could tell, and it is never asked (upstream.offline)."""

    code = "offline"
    status = 504
    title = "Not stored, and the proxy is offline"


class UpstreamTimeout(UpstreamError):
    """No complete answer within upstream.deadline_s, or no connection within upstream.connect_timeout_s."""

    code = "upstream-timeout"
    status = 504
    title = "Upstream too slow"


class UpstreamStalled(UpstreamError):
    """An answer whose head came, and then hardly any of its body within upstream.stall_s: the call was ended.

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
