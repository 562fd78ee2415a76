"""Moments in the texts of filters, as the upstream's two readers take them."""

from datetime import UTC, datetime
from math import floor

from proxy.standin.problem import UnreadableError


def javascript_date_s(text: str) -> float:
    """`new Date(text)` in wall seconds, for ISO 8601; a server in UTC is assumed. UnreadableError for an invalid date."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise UnreadableError(text) from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def best_effort_s(text: str) -> int:
    """ClickHouse's `parseDateTimeBestEffort`, for ISO 8601 and Unix times: whole seconds, the fraction is dropped."""
    return int(text) if text.isdecimal() and len(text) >= 9 else floor(javascript_date_s(text))
