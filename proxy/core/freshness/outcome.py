"""How an answer came about, and how the client is told: `Cache-Status` (RFC 9211)."""

import math
from dataclasses import dataclass
from enum import StrEnum

NAME = "pluto-proxy"
# Why a stale answer was served where nothing is wrong.
REVALIDATING = "revalidating"
_DETAIL_CHARACTERS = 200


class Forward(StrEnum):
    """Why a request went upstream (RFC 9211 section 2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    REQUEST = "request"


class Made(StrEnum):
    """How an answer was computed, where it isn't the upstream's own."""

    SERIES = "series"
    """Computed from what was known of the series, or from the answer to a wider question."""
    DELTA = "delta"
    """Computed from what was known of the series, after a call for what is new."""
    WINDOW = "window"
    """Computed from a window of a series that one answer cannot hold in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one answer came about.

    `hit`: the answer came from the cache. `forward`: why the upstream was asked. The two exclude each other.
    `forward_status`: the upstream's status. `stored`: whether the answer was stored. `collapsed`: whether it came by a flight
    that was under way already.
    `ttl_s`: what is left of the freshness lifetime, negative for a stale answer.
    `made`: how it was computed from the answers to other questions.
    `stale`: why a stale answer was served, a word of a bounded vocabulary. `detail`: a text for people.
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
    def kind(self) -> str:
        """The outcome in one word, for metrics and logs."""
        if self.hit:
            return "stale" if self.stale else "series" if self.made else "hit"
        return "collapsed" if self.collapsed else "miss"


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
