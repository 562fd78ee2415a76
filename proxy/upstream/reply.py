"""What the upstream's status, headers and body amount to: an answer to pass on, or which of the errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from proxy.core.surrogates import read_json
from proxy.errors import KeyRefused, UpstreamError, UpstreamFailed
from proxy.upstream.refusal import MESSAGE

BUSY = frozenset({429, 503})
# Statuses below 500 that say nothing about the question, even in the upstream's own form.
_NO_ANSWER = frozenset({407, 408, 425})
_TRANSIENT = frozenset({502, 504})
# The upstream's own errors are short; a 4xx of megabytes isn't one, and would be kept in memory.
_LONGEST_ERROR_BYTES = 65_536
Parsed_co = TypeVar("Parsed_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[Parsed_co]):
    """A reply to a request sent at `sent_at_s` (wall time) with the key of this `fingerprint`.

    Header names are in lower case. `parsed`: what a parser made of the body, where one was given and could. `elements`: how
    many its list has, where it was counted.
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
    """The upstream's own form of an error: `{"error": …}`, with or without more."""

    error: msgspec.Raw


_json_error = msgspec.json.Decoder(_JsonError)


def is_json_error(body: bytes) -> bool:
    """Tell the upstream's own error document from what something in front of it (a firewall, a balancer) says."""
    if len(body) > _LONGEST_ERROR_BYTES:
        return False
    try:
        read_json(_json_error, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def needs_body(status: int) -> bool:
    """Tell whether the body has a say in what a reply amounts to: that of a 200, and of a 4xx in the upstream's own form."""
    return status == 200 or (400 <= status < 500 and status not in _NO_ANSWER | BUSY | {401})


def error_of(reply: Reply[object]) -> UpstreamError | None:
    """Return the error that a reply amounts to, None for a 200 and for the upstream's own 4xx.

    A 401, and a 403 in the upstream's own form, refuse the key. A 4xx in any other form comes from something in front of the
    upstream, and says nothing about the question.
    """
    status = reply.status
    own = 400 <= status < 500 and is_json_error(reply.body)
    if status == 401 or (status == 403 and own):
        return KeyRefused(MESSAGE, upstream_status=status)
    if status == 200 or (own and status not in _NO_ANSWER):
        return None
    if status == 407:
        message = "a proxy before the upstream wants a user and a password, or other ones (upstream.proxy): it answered 407"
        return UpstreamFailed(message, upstream_status=status)
    if 300 <= status < 400:
        return UpstreamFailed(f"the upstream answered {status}, a redirect, which is never followed", upstream_status=status)
    return UpstreamFailed(f"the upstream answered {status}", upstream_status=status, transient=status in _TRANSIENT)
