"""What a reply's status, headers and body mean: an answer to pass on, or one of the errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from proxy.core.lone_surrogates import read_json
from proxy.errors import KeyRefused, UpstreamError, UpstreamFailed
from proxy.upstream.refusal import KEY_REFUSED

BUSY_STATUSES = frozenset({429, 503})
# 4xx statuses that say nothing about the query, even with a body in the upstream's own form.
_NO_ANSWER = frozenset({407, 408, 425})
_TRANSIENT = frozenset({502, 504})
# The upstream's own errors are short. A longer body is none of them, and must not be kept in memory.
_LONGEST_ERROR_BYTES = 65_536
Parsed_co = TypeVar("Parsed_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[Parsed_co]):
    """The upstream's reply to a request.

    `sent_at_s` is when the request was sent (wall time), `sent_monotonic_s` the same by the monotonic clock, `elapsed_s` how
    long the exchange took, `fingerprint` that of the key that was sent. Header names are found in any case. `parsed` is what a
    parser made of the body, if there was one and it succeeded. `elements` is how many elements the body's list has, if it was
    counted.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    sent_at_s: float
    sent_monotonic_s: float
    elapsed_s: float
    fingerprint: str
    parsed: Parsed_co | None = None
    elements: int | None = None


class _JsonError(msgspec.Struct):
    """The upstream's own form of an error: `{"error": …}`, perhaps with other fields."""

    error: msgspec.Raw


_json_error = msgspec.json.Decoder(_JsonError)


def is_json_error(body: bytes) -> bool:
    """Tell whether a body is the upstream's own error document, and not one of a firewall or balancer in front of it."""
    if len(body) > _LONGEST_ERROR_BYTES:
        return False
    try:
        read_json(_json_error, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def needs_body(status: int) -> bool:
    """Tell whether the body is needed to know what a reply means: for a 200, and for a 4xx, which may be the upstream's own."""
    return status == 200 or (400 <= status < 500 and status not in _NO_ANSWER | BUSY_STATUSES | {401})


def error_of(reply: Reply[object]) -> UpstreamError | None:
    """Return the error that a reply means; None for a 200 and for the upstream's own 4xx, which are answers.

    A 401, and a 403 in the upstream's own form, refuse the key. A 4xx in any other form comes from something in front of the
    upstream and says nothing about the query.
    """
    status = reply.status
    own = 400 <= status < 500 and is_json_error(reply.body)
    if status == 401 or (status == 403 and own):
        return KeyRefused(KEY_REFUSED, upstream_status=status)
    if status == 200 or (own and status not in _NO_ANSWER):
        return None
    if status == 407:
        message = "a proxy before the upstream wants a user and a password, or other ones (upstream.proxy): it answered 407"
        return UpstreamFailed(message, upstream_status=status)
    if 300 <= status < 400:
        return UpstreamFailed(f"the upstream answered {status}, a redirect, which is never followed", upstream_status=status)
    return UpstreamFailed(f"the upstream answered {status}", upstream_status=status, transient=status in _TRANSIENT)
