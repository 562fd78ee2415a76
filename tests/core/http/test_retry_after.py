"""Retry-After in both of its forms."""

import pytest

from proxy.core.http.retry_after import read_retry_after

DATE = "Mon, 23 Nov 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("7", None, 7),
        (" 7 ", None, 7),
        ("0", None, 1),
        ("99999999999999999999", None, 300),
        ("Mon, 23 Nov 2026 08:00:30 GMT", DATE, 30),
        ("Mon, 23 Nov 2026 07:00:00 GMT", DATE, 1),
        ("Sun, 01 Jan 2099 00:00:00 GMT", DATE, 300),
        ("Mon, 23 Nov 2026 08:00:30 -0000", DATE, 30),
        ("Mon, 23 Nov 2026 08:00:30 GMT", None, None),
        ("Mon, 23 Nov 2026 08:00:30 GMT", "yesterday", None),
        (None, DATE, None),
        ("", DATE, None),
        ("soon", DATE, None),
        ("-5", DATE, None),
        ("1.5", DATE, None),
        ("\u0667", DATE, None),
    ],
)
def test_read_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    """Seconds, or a date against the response's own Date, within 1 s and the most; anything else is unreadable."""
    assert read_retry_after(value, date, most_s=300) == seconds
