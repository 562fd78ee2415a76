"""How an answer came about, and how that is told: `Cache-Status` (RFC 9211) and `Age` (RFC 9111 section 5.1)."""

import math
from dataclasses import dataclass
from enum import StrEnum

NAME = "pluto-proxy"
_DETAIL_CHARACTERS = 200


class Forward(StrEnum):
    """Why a request went upstream (RFC 9211 section 2.2)."""

    URI_MISS = "uri-miss"
    STALE = "stale"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one answer came about.

    `hit` and `forward` exclude each other: an answer from the cache, or one that the upstream was asked for. `ttl_s` is what is
    left of the freshness lifetime, negative for a stale answer. `series`: it was computed from what another question brought.
    `stale` is why a stale answer was good enough: a word of a
    bounded vocabulary. `detail` is for people.
    """

    hit: bool = False
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl_s: float | None = None
    series: bool = False
    stale: str | None = None
    detail: str | None = None

    @property
    def kind(self) -> str:
        """Return the one word for metrics and logs."""
        if self.hit:
            return "stale" if self.stale else "series" if self.series else "hit"
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
    details = ["series"] if outcome.series else []
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
