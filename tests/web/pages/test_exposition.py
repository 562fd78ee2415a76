"""The formats of `/metrics`."""

from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from tests.support.world import world

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
PROMETHEUS_2 = "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.4,*/*;q=0.2"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, PLAIN),
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html", PLAIN),
        ("text/plain", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        (PROMETHEUS_2, PLAIN),
        ("text/plain; version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("text/plain; version=x", PLAIN),
        ("text/plain; version=1.x", PLAIN),
        ("application/openmetrics-text; version=1.0.0.\xfc", PLAIN),
    ],
)
async def test_what_is_accepted(tmp_path: Path, accept: str | None, content_type: str) -> None:
    """Version 0.0.4, which every scraper reads, unless a later one or OpenMetrics was asked for; and it is what it says."""
    async with world(tmp_path) as running:
        await running.get()
        reply = await running.get("/metrics", **({} if accept is None else {"Accept": accept}))
        assert (reply.status, reply.headers["Content-Type"]) == (200, content_type)
        read = read_openmetrics if content_type.startswith("application") else read_plain
        names = {family.name for family in read(reply.body.decode())}
        assert {"pluto_proxy_requests", "pluto_proxy_build_info", "pluto_proxy_store_bytes"} <= names
