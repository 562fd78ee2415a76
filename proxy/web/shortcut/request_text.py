"""What the answer to a request depends on, as it stands in the request: the key of a lease."""

from aiohttp import HttpVersion11, web

from proxy.web.gate.guard import Visit

# What the answer depends on, beside target, method and what the asker may see.
_FIELDS = ("Host", "Origin", "Accept-Encoding", "If-None-Match", "Cache-Control", "Pragma")
# Clients and browsers send some hundred characters; a client that sends more must not fill the memory.
LONGEST = 2_000
RequestText = tuple[str | float | tuple[str, ...], ...]


def text_of(request: web.BaseRequest, visit: Visit) -> RequestText | None:
    """Return the text of a request; None where it must go the ordinary way.

    That is anything but HTTP/1.1 on a connection that stays open, whatever has a body, and who is refused.
    """
    if request.version != HttpVersion11 or not request.keep_alive or request.body_exists or visit.refusal is not None:
        return None
    getall, target = request.headers.getall, request.raw_path
    if not target.startswith("/"):
        target = f"{request.scheme} {target}"  # one that names a scheme must name that of the connection
    grant = visit.grant
    return (target, request.method, grant.visibility, grant.expires_at_s, *[tuple(getall(name, ())) for name in _FIELDS])


def length_of(text: RequestText) -> int:
    """Return how many characters a text has."""
    return sum(len(part) if isinstance(part, str) else sum(map(len, part)) for part in text if not isinstance(part, float))
