"""Cache-Status as RFC 9211 writes it."""

import pytest

from proxy.core.freshness.outcome import Forward, Outcome, cache_status


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Outcome(hit=True, ttl_s=4.9), "pluto-proxy; hit; ttl=4"),
        (Outcome(hit=True, ttl_s=-0.1), "pluto-proxy; hit; ttl=-1"),
        (
            Outcome(forward=Forward.URI_MISS, forward_status=200, stored=True, collapsed=True, ttl_s=5),
            "pluto-proxy; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=5",
        ),
        (Outcome(forward=Forward.STALE, forward_status=404), "pluto-proxy; fwd=stale; fwd-status=404"),
        (Outcome(hit=True, detail='a "b" \\ \u00e9\r\n'), 'pluto-proxy; hit; detail="a \\"b\\" \\\\ ???"'),
        (Outcome(detail="x" * 300), f'pluto-proxy; detail="{"x" * 200}"'),
    ],
)
def test_cache_status(outcome: Outcome, text: str) -> None:
    """Each part stands in its place; a detail is printable ASCII whatever a client sent."""
    assert cache_status(outcome) == text
