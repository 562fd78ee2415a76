"""The proxy only reads: which methods it accepts, and what clients that want to write are told to do."""

from aiohttp import web

from proxy.core.question.form import shown
from proxy.errors import BadRequest, MethodNotAllowed

_READING = frozenset({"GET", "HEAD"})
# The upstream's client shows the first 500 characters of an error's document.
_TRAIN = (
    "Training needs pluto-api itself: unset PLUTO_URL_API, or set it to pluto-api's own address; readers name the proxy "
    'instead, as pluto.query.Client(host="http://...")'
)
_UPLOAD = (
    "Client's host= sends uploads to the same address: upload with a Client without host=, with your own Pluto key; it "
    "uploads to PLUTO_URL_INGEST or, where that is unset, to Pluto itself, and reads from PLUTO_URL_API "
    "(this proxy, unless it has tokens)"
)


def check_reads(request: web.BaseRequest, path: str) -> None:
    """Raise MethodNotAllowed unless a request for a path only reads, BadRequest if it has a body."""
    if request.method not in _READING:
        advice = _UPLOAD if path == "/files" or path.startswith("/ingest/") else _TRAIN
        raise MethodNotAllowed(f"{shown(request.method)} is not possible: this proxy only reads. {advice}")
    if request.body_exists:
        raise BadRequest("a request that only reads has no body")
