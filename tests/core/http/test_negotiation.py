"""Accept-Encoding, entity tags and the codings themselves."""

import gzip
import sys

import pytest

from proxy.core.freshness.entry import Coding, Entry, digest_of
from proxy.core.http.coding import encode
from proxy.core.http.negotiation import acceptable
from proxy.core.http.validators import etag, matched

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = b'{"metrics":[]}' * 100
ENTRY = Entry(body=BODY, sent_at_s=0, digest=digest_of(BODY))
GZIP, ZSTD, IDENTITY = Coding.GZIP, Coding.ZSTD, Coding.IDENTITY


@pytest.mark.parametrize(
    ("accept", "codings"),
    [
        (None, [IDENTITY]),
        ("", [IDENTITY]),
        ("gzip", [GZIP, IDENTITY]),
        ("gzip, deflate, br, zstd", [ZSTD, GZIP, IDENTITY]),
        ("*", [ZSTD, GZIP, IDENTITY]),
        ("*;q=0", []),
        ("identity;q=0", []),
        ("gzip, identity;q=0", [GZIP]),
        ("gzip;q=0.5, zstd;q=0.1", [GZIP, ZSTD, IDENTITY]),
        ("identity, gzip;q=0.9", [IDENTITY, GZIP]),
        ("*;q=0.5, gzip;q=0", [ZSTD, IDENTITY]),
        ("gzip ; Q=0.5 , zstd;level=1;q=0.6", [ZSTD, GZIP, IDENTITY]),
        ("x-gzip", [GZIP, IDENTITY]),
        ("X-Gzip;q=0.5, identity;q=0", [GZIP]),
        ("*, x-gzip;q=0", [ZSTD, IDENTITY]),
        ("gzip;q=1.1", [IDENTITY]),
        ("gzip;q=", [IDENTITY]),
        (",, ;q=1, gzip", [GZIP, IDENTITY]),
    ],
)
def test_acceptable(accept: str | None, codings: list[Coding]) -> None:
    """The client's order of preference, ours among equals, nothing that it excludes."""
    assert list(acceptable(accept)) == codings


@pytest.mark.parametrize(
    ("if_none_match", "sent", "coding"),
    [
        ("*", GZIP, GZIP),
        (etag(ENTRY, GZIP), IDENTITY, GZIP),
        (f"W/{etag(ENTRY, IDENTITY)}", ZSTD, IDENTITY),
        (f'"a", {etag(ENTRY, ZSTD)} , "b"', ZSTD, ZSTD),
        (f"{etag(ENTRY, GZIP)},{etag(ENTRY, ZSTD)}", ZSTD, ZSTD),
        ('"a"', IDENTITY, None),
        (f"a, {etag(ENTRY, IDENTITY)}", IDENTITY, None),
        (f'"a" {etag(ENTRY, IDENTITY)}', IDENTITY, None),
        ("", IDENTITY, None),
    ],
)
def test_matched(if_none_match: str, sent: Coding, coding: Coding | None) -> None:
    """Lists and weak tags match any current representation, the one to be sent before the others."""
    assert matched(if_none_match, ENTRY, sent) == coding


def test_codings() -> None:
    """Each can be undone, and gives the same bytes every time."""
    assert encode(BODY, IDENTITY) == BODY
    assert gzip.decompress(encode(BODY, GZIP)) == BODY
    assert zstd.decompress(encode(BODY, ZSTD)) == BODY
    assert encode(BODY, GZIP) == encode(BODY, GZIP)
