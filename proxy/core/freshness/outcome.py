"""How an answer came about, and how the client is told: `Cache-Status` (RFC 9211)."""

import math
from dataclasses import dataclass
from enum import StrEnum

NAME = "pluto-proxy"
_DETAIL_CHARACTERS = 200


class Kind(StrEnum):
    """How an answer came about in one word, for metrics and logs."""

    HIT = "hit"
    """The answer came from the cache, as it was stored."""
    SERIES = "series"
    """The answer was computed from what is known of its series, without a call."""
    STALE = "stale"
    """A stale answer came from the cache, stored or computed."""
    COLLAPSED = "collapsed"
    """The request shared a call that another request had begun."""
    MISS = "miss"
    """pluto-api was called for this request."""


class Forward(StrEnum):
    """Why a request went upstream (RFC 9211 section 2.2)."""

    URI_MISS = "uri-miss"
    """Nothing was stored."""
    STALE = "stale"
    """The stored answer was stale, or too old."""
    REQUEST = "request"
    """The request demanded a newer answer than the stored one."""


class Made(StrEnum):
    """How an answer was computed, where it isn't the upstream's own."""

    SERIES = "series"
    """Computed from what was known of the series, or from the answer to a wider question."""
    DELTA = "delta"
    """Computed from what was known of the series, after a call for what is new."""
    WINDOW = "window"
    """Computed from a window of a series that one answer cannot hold in full."""


class Stale(StrEnum):
    """Why a stale answer was served, where it isn't the code of the error with which the last call failed."""

    REVALIDATING = "revalidating"
    """A refresh runs in the background."""
    SLOW = "upstream-slow"
    """pluto-api takes longer than freshness.stale_wait_s. The call goes on."""
    QUEUE = "upstream-queue"
    """A call's turn would come later than in freshness.stale_wait_s. A refresh waits for it."""
    COOL_DOWN = "cool-down"
    """pluto-api asks to be left alone, or failed several times in a row."""
    OFFLINE = "offline"
    """pluto-api is never asked (upstream.offline)."""


class Detail(StrEnum):
    """What else there is to say of an answer."""

    REMEMBERED = "remembered"
    """The answer is a 4xx of pluto-api's own, which it gave a moment ago (freshness.negative_s)."""
    UNKNOWN = "ignored unknown parameters"
    """The parameters that are named then were dropped: neither pluto-api's documents nor the settings name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one answer came about.

    `hit`: the answer came from the cache. `forward`: why the upstream was asked. The two exclude each other.
    `forward_status`: the upstream's status. `stored`: whether the answer was stored. `collapsed`: whether it came by a flight
    that was under way already.
    `ttl_s`: what is left of the freshness lifetime, negative for a stale answer.
    `made`: how it was computed from the answers to other questions.
    `stale`: why a stale answer was served: a word of `Stale`, or an error's code. `detail`: a text for people.
    """

    hit: bool = False
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl_s: float | None = None
    made: Made | None = None
    stale: str | None = None
    detail: str | None = None

    @property
    def kind(self) -> Kind:
        """The outcome in one word."""
        if self.hit:
            return Kind.STALE if self.stale else Kind.SERIES if self.made else Kind.HIT
        return Kind.COLLAPSED if self.collapsed else Kind.MISS


def cache_status(outcome: Outcome) -> str:
    """Return the value of the Cache-Status header."""
    parts = [NAME]
    if outcome.hit:
        parts.append("hit")
    if outcome.forward is not None:
        parts.append(f"fwd={outcome.forward}")
    if outcome.forward_status is not None:
        parts.append(f"fwd-status={outcome.forward_status}")
    if outcome.stored:
        parts.append("stored")
    if outcome.collapsed:
        parts.append("collapsed")
    if outcome.ttl_s is not None:
        parts.append(f"ttl={math.floor(outcome.ttl_s)}")
    details: list[str] = [outcome.made] if outcome.made else []
    if outcome.stale:
        details.append(f"stale: {outcome.stale}")
    if outcome.detail:
        details.append(outcome.detail)
    if details:
        parts.append(f"detail={_string('; '.join(details))}")
    return "; ".join(parts)


def _string(text: str) -> str:
    """Write a structured field's string (RFC 9651 section 3.3.3): printable ASCII, quotes and backslashes escaped."""
    plain = "".join(character if " " <= character <= "~" else "?" for character in text[:_DETAIL_CHARACTERS])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
