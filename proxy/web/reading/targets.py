"""What a request is for: its target in origin form, and the host that it names (RFC 9112 section 3.2).

In the absolute form (`GET http://host/path`), which proxies are sent and every server must accept, the target's own authority
counts and `Host` doesn't. Other forms name nothing here.
"""

from dataclasses import dataclass

from aiohttp import hdrs, web

from proxy.core.question.form import shown
from proxy.errors import BadRequest, WrongHost

_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A path and a query as they came, and the hosts that the request names: exactly one if the request is correct."""

    path: str
    query: str
    hosts: list[str]


def read_target(request: web.BaseRequest) -> Target:
    """Return what a request is for.

    It is read as it came: aiohttp's own URL is decoded and normalised, and would let `%6Detrics` match. Raises BadRequest for
    raw bytes beyond ASCII and for an authority with a user, WrongHost for another scheme than that of the connection.
    """
    raw = request.raw_path
    if not raw.isascii():
        raise BadRequest("the request target holds raw bytes beyond ASCII; percent-encode them (RFC 3986 section 2)")
    scheme, separator, rest = raw.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        path, _, query = raw.partition("?")
        return Target(path=path, query=query, hosts=request.headers.getall(hdrs.HOST, []))
    if scheme.lower() != request.scheme:
        came = "encrypted" if request.secure else "not encrypted"
        raise WrongHost(
            f"the request names an {scheme.lower()}:// target, and came by a connection that is {came}; ask for {request.scheme}://"
        )
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise BadRequest(f"the request target names a user before its host, {shown(authority.rpartition('@')[2])!r}")
    # That HTTP/1.1 has one Host all the same, and no more, the parser sees to.
    return Target(path=slash + path or "/", query=query, hosts=[authority])
