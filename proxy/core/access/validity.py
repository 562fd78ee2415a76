"""From when to when a certificate is good, as its DER form says (RFC 5280 section 4.1).

Python's own TLS tells that of the certificates of others, not of one's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_SEQUENCE, _INTEGER, _VERSION = 0x30, 0x02, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_LONG_LENGTH, _MOST_LENGTH_BYTES = 0x80, 4
# Two digits of a year: from here on they are of the 20th century.
_TURN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The first and the last moment, in seconds since the epoch."""

    begin_s: float
    end_s: float


def read_validity(certificate: bytes) -> Validity:
    """Return the dates of a certificate in DER form. Raises ValueError where it is none."""
    try:
        return _read(certificate)
    except ValueError as exc:
        raise ValueError(f"no certificate in DER form: {exc}") from None


def _read(certificate: bytes) -> Validity:
    tag, certificate, _ = _take(certificate)
    signed_tag, signed, _ = _take(certificate)
    fields = list(_parts(signed))
    if fields and fields[0][0] == _VERSION:
        del fields[0]
    # The serial number, the signature's algorithm, who issued it, the dates.
    if tag != _SEQUENCE or signed_tag != _SEQUENCE or [tag for tag, _ in fields[:4]] != [_INTEGER, *[_SEQUENCE] * 3]:
        raise ValueError("its fields are others")
    dates = [_moment_s(tag, text) for tag, text in _parts(fields[3][1])]
    if len(dates) != 2:
        raise ValueError("it has more or fewer than two dates")
    return Validity(begin_s=dates[0], end_s=dates[1])


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    while content:
        tag, value, content = _take(content)
        yield tag, value


def _take(content: bytes) -> tuple[int, bytes, bytes]:
    """Return the first value's tag and content, and what follows it."""
    if len(content) < 2:
        raise ValueError("it ends within a value")
    length, begin = content[1], 2
    if length >= _LONG_LENGTH:
        begin += length - _LONG_LENGTH
        if begin - 2 > _MOST_LENGTH_BYTES:
            raise ValueError("a value that is too long")
        length = int.from_bytes(content[2:begin], "big")
    if len(content) < begin + length:
        raise ValueError("it ends within a value")
    return content[0], content[begin : begin + length], content[begin + length :]


def _moment_s(tag: int, value: bytes) -> float:
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if int(text[:2]) >= _TURN else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("a date of another kind")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
