"""`auth/validate` and `/api/health`: answered here, and nothing about the shared key's owner."""

import asyncio
from pathlib import Path

import pytest

from proxy.service.tenancy import VALIDATE_TARGET
from proxy.standin import Fault, FaultKind, Standin
from tests.support.tokens import ALL, TEAM, bearer, guarded, token, write
from tests.support.world import world

DEMO = {"valid": True, "organization": {"id": "org_demo", "slug": "demo"}}
UNKNOWN = {"valid": True, "organization": {"id": "", "slug": ""}}


async def test_whose_data_it_is(tmp_path: Path) -> None:
    """In pluto-api's form, without its user; never forwarded, and for nobody to keep."""
    async with world(tmp_path) as running:
        for target in (VALIDATE_TARGET, f"{VALIDATE_TARGET}?x=1"):
            reply = await running.get(target)
            assert (reply.status, reply.json) == (200, DEMO)
            assert reply.headers["Cache-Control"] == "no-store"
            assert reply.headers["Content-Type"].startswith("application/json")
            assert b"user" not in reply.body
        head = await running.get(VALIDATE_TARGET, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert (await running.get(VALIDATE_TARGET, method="POST")).status == 405
        assert running.standin.counters.total == 1


async def test_only_for_good_tokens(tmp_path: Path) -> None:
    """401 for others, as for any question. Those of one project are good, too."""
    async with guarded(tmp_path) as running:
        for name in (ALL, TEAM):
            reply = await running.get(VALIDATE_TARGET, **bearer(name))
            assert (reply.status, reply.json) == (200, DEMO)
            assert "Authorization" in reply.headers["Vary"]
        for headers in ({}, bearer("ppt_wrong"), bearer("mlpi_standin_key")):
            reply = await running.get(VALIDATE_TARGET, **headers)
            assert (reply.status, reply.json["code"]) == (401, "unauthorized")
            assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
        # Probes have none.
        assert (await running.get("/api/health")).body == b"OK"


async def test_it_counts_as_a_request_of_its_client(tmp_path: Path) -> None:
    """Whoever tries tokens, or asks in a loop, is held to the same limits as with any question."""
    async with world(tmp_path, access__client_rate_per_s=1, access__client_burst=2, upstream__deadline_s=0.3) as running:
        told = [await running.get(VALIDATE_TARGET) for _ in range(3)]
        assert [reply.status for reply in told] == [200, 200, 503]
        assert told[2].json["code"] == "client-limited"
        assert (await running.get("/api/health")).body == b"OK"


async def test_a_token_that_is_revoked_meanwhile(tmp_path: Path) -> None:
    """Who waited with a good one is not told of the organization any more."""
    gate, path, standin = asyncio.Event(), tmp_path / "tokens.json", Standin()
    standin.faults.add(Fault(kind=FaultKind.HOLD, path=VALIDATE_TARGET, gate=gate))
    write(path, token("team"), token("all"))
    async with world(tmp_path, standin=standin, access__tokens_file=path) as running:
        waiting = [asyncio.create_task(running.get(VALIDATE_TARGET, **bearer(name))) for name in (TEAM, ALL)]
        async with asyncio.timeout(10):
            while running.parts.web.intake.requests < len(waiting):  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
        write(path, token("all"))
        running.advance(1)
        assert (await running.get(VALIDATE_TARGET, **bearer("ppt_wrong"))).status == 401
        gate.set()
        assert [(await one).status for one in waiting] == [401, 200]


async def test_while_nobody_has_told(tmp_path: Path) -> None:
    """At the start it is waited for. Where pluto-api fails the token is good all the same, and the texts are empty."""
    async with guarded(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=VALIDATE_TARGET, times=None))
    async with world(tmp_path / "failing", standin=running.standin) as running:
        await running.get()
        reply = await running.get(VALIDATE_TARGET)
        assert (reply.status, reply.json) == (200, UNKNOWN)
    running.standin.faults.clear()
    gate = asyncio.Event()
    running.standin.faults.add(Fault(kind=FaultKind.HOLD, path=VALIDATE_TARGET, gate=gate))
    async with world(tmp_path / "held", standin=running.standin) as running:
        waiting = asyncio.create_task(running.get(VALIDATE_TARGET))
        await running.arrived(1)
        gate.set()
        assert (await waiting).json == DEMO


async def test_after_a_restart(tmp_path: Path) -> None:
    """The organization is remembered on disk; what pluto-api calls it in addresses is asked anew."""
    standin = Standin()
    async with standin.serve() as url:
        async with world(tmp_path, upstream=url) as running:
            await running.parts.tenancy.settled()
            await running.flushed()
        standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, path=VALIDATE_TARGET, times=None))
        async with world(tmp_path, upstream=url) as running:
            reply = await running.get(VALIDATE_TARGET)
            assert (reply.status, reply.json) == (200, {"valid": True, "organization": {"id": "org_demo", "slug": ""}})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health(tmp_path: Path, method: str) -> None:
    """The process lives. pluto-api isn't asked, whatever its state."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        reply = await running.get("/api/health", method=method)
        assert (reply.status, reply.body) == (200, b"OK" if method == "GET" else b"")
        assert reply.headers["Cache-Control"] == "no-store"
        assert (await running.get("/api/health", Host="evil.example.com")).status == 421
        assert (await running.get("/api/health/ready")).status == 404
        assert running.standin.counters.total == 1
