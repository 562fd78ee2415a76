"""`Retry-After` (RFC 9110 section 10.2.3): a number of seconds, or a date."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LEAST_S = 1.0


def read_retry_after(value: str | None, date: str | None, *, most_s: float) -> float | None:
    """Return the seconds to wait, clamped to 1 s .. `most_s`; None where the field is absent or cannot be read.

    A date is compared with `date`, the response's own Date field, since both come from the same clock. Without a readable Date
    the result is None.
    """
    seconds = _seconds(value, date)
    return None if seconds is None else min(max(seconds, LEAST_S), most_s)


def _seconds(value: str | None, date: str | None) -> float | None:
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until, said = _moment(text), _moment(date or "")
    return None if until is None or said is None else (until - said).total_seconds()


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
