"""Pages in browsers: which origins may read answers (the Fetch standard's CORS protocol)."""

from pathlib import Path

import pytest

from tests.support.tokens import OURS, TEAM, bearer, guarded, targets
from tests.support.world import Reply, world

LISTED = "https://grafana.example.com"
OTHER = "https://evil.example.com"
ORIGINS = f"{LISTED},http://localhost:3000"


def allowed(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("Access-Control-")}


async def test_a_page_of_a_listed_origin(tmp_path: Path) -> None:
    """Preflight, poll, 304 and error, with credentials: each is readable for the page, and names its origin alone."""
    async with world(tmp_path, server__cors_origins=ORIGINS) as running:
        preflight = await running.get(
            method="OPTIONS",
            Origin=LISTED,
            Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="authorization,x-grafana-org-id, b@d",
        )
        assert preflight.status == 204
        assert preflight.body == b""
        assert preflight.headers["Access-Control-Allow-Origin"] == LISTED
        assert preflight.headers["Access-Control-Allow-Methods"] == "GET, HEAD"
        assert preflight.headers["Access-Control-Allow-Headers"] == "authorization, x-grafana-org-id"
        assert preflight.headers["Access-Control-Allow-Credentials"] == "true"
        assert preflight.headers["Vary"] == "Origin, Access-Control-Request-Headers"
        assert running.metrics_calls == 0
        for _ in range(3):  # a miss, a hit, and a hit of the fast path
            reply = await running.get(Origin=LISTED, Cookie="session=1", Authorization="Bearer mine")
            assert reply.status == 200
            assert reply.headers["Access-Control-Allow-Origin"] == LISTED
            assert reply.headers["Access-Control-Allow-Credentials"] == "true"
            assert "Cache-Status" in reply.headers["Access-Control-Expose-Headers"]
            assert reply.headers["Vary"] == "Accept-Encoding, Origin"
        again = await running.get(Origin=LISTED, If_None_Match=reply.headers["ETag"])
        assert (again.status, again.headers["Access-Control-Allow-Origin"]) == (304, LISTED)
        for target in ("/nothing", "/api/runs/metrics?limit=0", "/openapi.json"):
            assert (await running.get(target, Origin=LISTED)).headers["Access-Control-Allow-Origin"] == LISTED


@pytest.mark.parametrize(
    "origin", [OTHER, "null", f"{LISTED}:8443", LISTED.upper(), "http://grafana.example.com", f"{LISTED}."]
)
async def test_a_page_of_another_origin(tmp_path: Path, origin: str) -> None:
    """No preflight succeeds, and no answer says that the page may read it, not even one that a listed page got before."""
    async with world(tmp_path, server__cors_origins=ORIGINS) as running:
        preflight = await running.get(method="OPTIONS", Origin=origin, Access_Control_Request_Method="GET")
        assert preflight.status == 403
        assert preflight.json["code"] == "origin-refused"
        assert not allowed(preflight)
        for _ in range(3):
            assert allowed(await running.get(Origin=LISTED))
            reply = await running.get(Origin=origin)
            assert not allowed(reply)
            assert reply.headers["Vary"] == "Accept-Encoding, Origin"
            assert not allowed(await running.get())


async def test_nothing_is_listed(tmp_path: Path) -> None:
    """Without listed origins nothing about CORS is said, and the upstream's own headers are never passed on."""
    async with world(tmp_path) as running:
        for _ in range(2):
            reply = await running.get(Origin=LISTED)
            assert not allowed(reply)
            assert reply.headers["Vary"] == "Accept-Encoding"
        assert (await running.get(method="OPTIONS", Origin=LISTED, Access_Control_Request_Method="GET")).status == 403


async def test_preflights_need_an_allowed_host(tmp_path: Path) -> None:
    """A page that has rebound its own name to this machine isn't helped by a preflight."""
    async with world(tmp_path, server__cors_origins=ORIGINS) as running:
        reply = await running.get(method="OPTIONS", Origin=LISTED, Access_Control_Request_Method="GET", Host="evil.example.com")
        assert reply.status == 421


async def test_not_every_options_is_a_preflight(tmp_path: Path) -> None:
    """OPTIONS without an origin or without the method asked for is one of the methods that the proxy doesn't have."""
    async with world(tmp_path, server__cors_origins=ORIGINS) as running:
        assert (await running.get(method="OPTIONS", Origin=LISTED)).status == 405
        assert (await running.get(method="OPTIONS", Access_Control_Request_Method="GET")).status == 405


async def test_pages_in_browsers(tmp_path: Path) -> None:
    """A preflight needs no token and lets one be sent; refusals can be read by pages of listed origins."""
    origin = "https://grafana.example.com"
    async with guarded(tmp_path, server__cors_origins=origin) as running:
        preflight = await running.get(
            method="OPTIONS",
            Origin=origin,
            Access_Control_Request_Method="GET",
            Access_Control_Request_Headers="authorization",
        )
        assert (preflight.status, preflight.headers["Access-Control-Allow-Headers"]) == (204, "authorization")
        target = targets(OURS, "ours")[0]
        for _ in range(3):
            reply = await running.get(target, Origin=origin, **bearer(TEAM))
            assert reply.headers["Vary"] == "Accept-Encoding, Authorization, Origin"
            assert reply.headers["Access-Control-Allow-Origin"] == origin
        refused = await running.get(target, Origin=origin)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, origin)
        assert refused.headers["Vary"] == "Authorization, Origin"
        assert "WWW-Authenticate" in refused.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("origin", ["http://[", "http://]", "http://[::1", "http://a\u2100b", "", "127.0.0.1", "http://", "//"])
async def test_what_is_no_origin_is_a_foreign_one(tmp_path: Path, origin: str) -> None:
    """No browser sends it: it is refused as any other, and is no fault of the proxy's."""
    async with world(tmp_path) as running:
        reply = await running.get("/admin/state", Origin=origin)
        assert (reply.status, reply.json["code"]) == (403, "origin-refused")
