"""The dates of certificates, from their DER form."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.access.validity import Validity, read_validity

MOMENTS = st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001 -- naive as its argument has to be
    lambda moment: moment.replace(microsecond=0)
)
CONTENTS = st.binary(max_size=300)


def encoded(tag: int, *parts: bytes) -> bytes:
    """A value in DER."""
    content = b"".join(parts)
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 128 + len(length)]) + length + content


def date(moment: datetime) -> bytes:
    """As RFC 5280 has them: with two digits of the year until 2049."""
    if moment.year < 2050:
        return encoded(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return encoded(0x18, moment.strftime("%Y%m%d%H%M%SZ").rjust(15, "0").encode())


def certificate(
    *dates: bytes, version: bytes = encoded(0xA0, encoded(2, b"\2")), serial: bytes = b"\1", rest: bytes = b""
) -> bytes:
    """A certificate, as far as it is looked at."""
    fields = [version, encoded(2, serial), encoded(0x30, rest), encoded(0x30, rest), encoded(0x30, *dates), encoded(0x30, rest)]
    return encoded(0x30, encoded(0x30, *fields), encoded(0x30, rest), encoded(3, rest))


@given(MOMENTS, MOMENTS, CONTENTS, st.booleans())
def test_every_date(begin: datetime, end: datetime, content: bytes, versioned: bool) -> None:
    """Of any year, whatever else a certificate holds, and however long that is. The first version isn't named."""
    version = encoded(0xA0, encoded(2, b"\2")) if versioned else b""
    der = certificate(date(begin), date(end), version=version, serial=content or b"\0", rest=content)
    assert read_validity(der) == Validity(begin_s=begin.timestamp(), end_s=end.timestamp())


GOOD = certificate(date(datetime(2020, 1, 1, tzinfo=UTC)), date(datetime(2060, 1, 1, tzinfo=UTC)))


@given(st.one_of(CONTENTS, st.integers(0, len(GOOD) - 1).map(lambda size: GOOD[:size])))
def test_what_is_none(content: bytes) -> None:
    """Any bytes, and a certificate that is cut off, are no certificate."""
    with pytest.raises(ValueError, match="no certificate"):
        read_validity(content)


@pytest.mark.parametrize(
    "der",
    [
        certificate(date(datetime(2020, 1, 1, tzinfo=UTC))),
        certificate(encoded(0x17, b"20200101000000"), encoded(0x17, b"x")),
        certificate(encoded(0x0C, b"200101000000Z"), date(datetime(2060, 1, 1, tzinfo=UTC))),
        certificate(encoded(0x17, "20010100000\u0661Z".encode()), date(datetime(2060, 1, 1, tzinfo=UTC))),
        encoded(0x31, GOOD[2:]),
        encoded(0x30, encoded(0x30)),
        b"\x30\x85\0\0\0\0\1",
    ],
    ids=["one date", "no digits", "another kind", "other digits", "another tag", "empty", "a length of five bytes"],
)
def test_what_is_damaged(der: bytes) -> None:
    """What has a certificate's form, and isn't one."""
    with pytest.raises(ValueError, match="no certificate"):
        read_validity(der)
