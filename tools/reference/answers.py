"""What a client is told of an answer, and of an error."""

from collections.abc import Iterable
from enum import Enum

from proxy.core.freshness.outcome import Detail, Forward, Kind, Made, Outcome, Stale, cache_status
from proxy.errors import ProxyError
from tools.reference.docstrings import of_words, opening
from tools.reference.markdown import code, page, table

_SHOWN = (
    (Outcome(hit=True, ttl_s=3), "from the cache, fresh for 3 s more"),
    (Outcome(hit=True, ttl_s=-4, stale=Stale.REVALIDATING), "from the cache, 4 s beyond its lifetime, while a refresh runs"),
    (
        Outcome(forward=Forward.URI_MISS, forward_status=200, stored=True, ttl_s=5),
        "nothing was stored: pluto-api was asked, and its answer is stored now",
    ),
    (
        Outcome(forward=Forward.STALE, forward_status=200, stored=True, collapsed=True, ttl_s=5),
        "the stored answer was too old, and another request's call brought a new one",
    ),
    (Outcome(hit=True, ttl_s=2, made=Made.SERIES), "computed, and fresh for 2 s more"),
)

_INTRODUCTION = """
`Cache-Status` ([RFC 9211](https://www.rfc-editor.org/rfc/rfc9211)) tells how an answer came about. There is no `X-Cache`.
"""
_WHERE = """
These are `outcome` in the [metrics](metrics.md), in the log and in `/admin/usage`. A request that ended with an error has the
[error's code](errors.md) there. In `/admin/usage` a request about the proxy itself has `own`.
"""
_PARAMETERS = """
`fwd-status` is the status that pluto-api answered. `stored`: the answer is stored now. `collapsed`: the request shared a call
that another request had begun. `ttl` is what is left of the lifetime in seconds, negative for a stale answer.
"""
_ERRORS = """
An error is a document of type `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). It has `status`,
`title`, `detail`, `code`, `request_id`, and `error` as in pluto-api's own errors. `detail` says in a sentence what is wrong.
"""
_NEVER = """
pluto-api's 429 is never passed on, because `pluto-ml` gives up on one: it becomes a wait, or a 503. pluto-api's other 4xx are
passed on as they are.
"""


def outcomes_page() -> str:
    """Return the page about `Cache-Status`."""
    shown = table(("`Cache-Status`", "meaning"), [(code(cache_status(outcome)), text) for outcome, text in _SHOWN])
    return page(
        "Outcomes",
        "`proxy/core/freshness/outcome.py`",
        _INTRODUCTION,
        shown,
        f"## Words\n\n{_words(Kind)}",
        _WHERE,
        f"## fwd\n\nWhy pluto-api was asked.\n\n{_words(Forward)}",
        _PARAMETERS,
        f"## detail\n\nSemicolons separate several of these.\n\n{_words(Made)}",
        f"`stale:` and why a stale answer was served:\n\n{_words(Stale)}",
        "Any other word there is the [code](errors.md) of the error with which the last call failed.",
        _words(Detail),
    )


def errors_page() -> str:
    """Return the page about errors."""
    by_code: dict[str, list[type[ProxyError]]] = {}
    for error in all_errors():
        by_code.setdefault(error.code, []).append(error)
    rows = [(_statuses(errors), code(name), errors[0].title, opening(errors[0])) for name, errors in by_code.items()]
    return page(
        "Error codes",
        "`proxy/errors.py`",
        _ERRORS,
        table(("status", "code", "title", "when"), sorted(rows)),
        _NEVER,
    )


def all_errors() -> list[type[ProxyError]]:
    """Return every error that a client can get, without those that only stand for their subclasses."""
    found: list[type[ProxyError]] = []
    rest: list[type[ProxyError]] = [ProxyError]
    while rest:
        error = rest.pop(0)
        rest += error.__subclasses__()
        # UpstreamError is never raised itself: UpstreamFailed has its code.
        if error.__name__ != "UpstreamError":
            found.append(error)
    return found


def _statuses(errors: Iterable[type[ProxyError]]) -> str:
    return " or ".join(dict.fromkeys(str(error.status) for error in errors))


def _words(words: type[Enum]) -> str:
    return table(("word", "meaning"), [(code(word), text) for word, text in of_words(words).items()])
