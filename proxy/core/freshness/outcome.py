"""How an answer came about, and how that is told: `Cache-Status` (RFC 9211) and `Age` (RFC 9111 section 5.1)."""

import math
from dataclasses import dataclass
from enum import StrEnum

NAME = "pluto-proxy"
# Why an answer is stale where nothing is wrong.
REVALIDATING = "revalidating"
_DETAIL_CHARACTERS = 200


class Forward(StrEnum):
    """Why a request went upstream (RFC 9211 section 2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    REQUEST = "request"


class Made(StrEnum):
    """How an answer was put together, where it isn't the upstream's own."""

    SERIES = "series"
    """Computed from what is known of the series, or what a question about all of them brought."""
    DELTA = "delta"
    """As before, once what is new had been asked for."""
    WINDOW = "window"
    """Computed from a window of a series that one answer cannot hold in full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one answer came about.

    `hit` and `forward` exclude each other: an answer from the cache, or one that the upstream was asked for. `ttl_s` is what is
    left of the freshness lifetime, negative for a stale answer. `made`: how it was put together from the answers to other
    questions. `stale` is why a stale answer was good enough: a word of a bounded vocabulary. `detail` is for people.
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
        """Return the one word for metrics and logs."""
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
