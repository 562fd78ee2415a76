"""From where the proxy may be asked: nobody vouches for themselves."""

from pathlib import Path

import pytest

from tests.support.tokens import OURS, TEAM, bearer, guarded, targets
from tests.support.world import world


@pytest.mark.parametrize(
    ("networks", "trusted", "forwarded", "status"),
    [
        ("127.0.0.0/8", "", None, 200),
        ("127.0.0.1", "", "198.51.100.7", 200),
        ("10.0.0.0/8", "", None, 403),
        ("10.0.0.0/8", "", "10.1.1.1", 403),
        ("10.0.0.0/8", "127.0.0.1", "10.1.1.1", 200),
        ("10.0.0.0/8", "127.0.0.1", "198.51.100.7, 10.1.1.1", 200),
        ("10.0.0.0/8", "127.0.0.1", "10.1.1.1, 198.51.100.7", 403),
        ("10.0.0.0/8", "127.0.0.1,198.51.100.0/24", "10.1.1.1, 198.51.100.7", 200),
        ("10.0.0.0/8", "127.0.0.1", "nonsense", 403),
        ("10.0.0.0/8", "127.0.0.1", None, 403),
        ("10.0.0.0/8,127.0.0.1", "127.0.0.1", None, 200),
        ("::ffff:10.0.0.0/104", "127.0.0.1", "[::ffff:10.1.1.1]:5", 200),
    ],
)
async def test_networks(tmp_path: Path, networks: str, trusted: str, forwarded: str | None, status: int) -> None:
    """Who comes from elsewhere is refused, hits and preflights included, and nobody vouches for themselves; but for probes."""
    async with world(tmp_path, access__networks=networks, access__trusted_proxies=trusted) as running:
        headers = {} if forwarded is None else {"X_Forwarded_For": forwarded}
        for _ in range(3):
            reply = await running.get(**headers)
            assert reply.status == status
        assert running.metrics_calls == (status == 200)
        if status == 403:
            assert reply.json["code"] == "network-refused"
            preflight = await running.get(method="OPTIONS", Origin="https://a", Access_Control_Request_Method="GET", **headers)
            assert preflight.json["code"] == "network-refused"
        assert (await running.get("/metrics", **headers)).status == status
        assert (await running.get("/readyz", **headers)).status == 200


async def test_networks_and_tokens(tmp_path: Path) -> None:
    """Where both are set both are needed: a token doesn't open the network, nor the other way round."""
    async with guarded(tmp_path, access__networks="10.0.0.0/8", access__trusted_proxies="127.0.0.1") as running:
        target = targets(OURS, "ours")[0]
        for address, sent, status in (
            ("10.0.0.1", bearer(TEAM), 200),
            ("10.0.0.1", {}, 401),
            ("11.0.0.1", bearer(TEAM), 403),
            ("11.0.0.1", {}, 403),
        ):
            assert (await running.get(target, X_Forwarded_For=address, **sent)).status == status


@pytest.mark.parametrize("trusted", ["", "127.0.0.1", "127.0.0.1,10.0.0.0/8"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Forwarded_For": "::1"},
        {"X_Forwarded_For": "127.0.0.1, 10.0.0.7"},
        {"X_Forwarded_For": ""},
        {"X_Forwarded_Host": "pluto-proxy.example.com"},
        {"x_forwarded_proto": "https"},
        {"X_Real_IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 front"},
    ],
)
async def test_nothing_forwarded_manages_without_tokens(tmp_path: Path, headers: dict[str, str], trusted: str) -> None:
    """A front on this machine vouches for nobody: what it passes on, a client may have written."""
    async with world(tmp_path, access__trusted_proxies=trusted) as running:
        assert (await running.get("/admin/state")).status == 200
        reply = await running.get("/admin/state", **headers)
        assert (reply.status, reply.json["code"]) == (403, "admin-refused")
