"""What one client may ask for: over it a client waits, then is refused; others notice nothing."""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proxy.standin import Fault, FaultKind
from proxy.standin.counters import Counters
from tests.support.reloading import reload
from tests.support.tokens import ALL, OURS, ROOT, bearer, guarded
from tests.support.world import METRICS, QUESTION, world

OF_OURS = f"{METRICS}?runId={OURS}&projectName=ours&logName=loss"


@pytest.mark.parametrize("status", [503, 429])
async def test_over_the_rate_it_waits_then_is_refused(tmp_path: Path, status: int) -> None:
    """The fast way as well: the burst at once, then in turn, and what would take longer than the deadline not at all."""
    limits: dict[str, Any] = {"access__client_rate_per_s": 20, "access__client_burst": 3, "access__client_limit_status": status}
    async with world(tmp_path, upstream__deadline_s=0.31, **limits) as running:
        began = time.monotonic()
        replies = await asyncio.gather(*(running.get() for _ in range(20)))
        took_s = time.monotonic() - began
        statuses = [reply.status for reply in replies]
        assert statuses.count(200) == 3 + 6
        assert took_s >= 0.28
        for refused in (reply for reply in replies if reply.status != 200):
            assert (refused.status, refused.json["code"]) == (status, "client-limited")
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.headers["RateLimit"].startswith('"rate";r=0;t=')
        assert (running.parts.web.limits.delayed, running.parts.web.limits.refused) == (6, 11)
        assert running.metrics_calls == 1
        running.advance(1)
        assert [(await running.get()).status for _ in range(3)] == [200] * 3
        assert running.parts.web.limits.delayed == 6
        assert (await running.get("/livez")).status == 200


@pytest.mark.parametrize(
    ("target", "method", "headers", "status"),
    [
        (QUESTION, "HEAD", {}, 200),
        (QUESTION, "GET", {"If_None_Match": "*"}, 304),
        (f"{QUESTION}&stepMin=7", "GET", {"Cache_Control": "only-if-cached"}, 504),
        (f"{METRICS}?limit=0", "GET", {}, 400),
        (QUESTION, "GET", {"Accept_Encoding": "identity;q=0"}, 406),
        (QUESTION, "GET", {"X_Forwarded_For": "198.51.100.{number}"}, 200),
        (QUESTION, "GET", {"Authorization": "Bearer {number}"}, 200),
        (QUESTION, "GET", {"X_Request_ID": "{number}"}, 200),
    ],
)
async def test_nothing_gets_around_the_rate(
    tmp_path: Path, target: str, method: str, headers: dict[str, str], status: int
) -> None:
    """However a question is asked, whatever comes of it, and whoever one claims to be."""
    async with world(tmp_path, access__client_rate_per_s=1, access__client_burst=2, upstream__deadline_s=0.3) as running:
        for expected in (status, status, 503, 503):
            number = running.parts.web.intake.requests
            sent = {name: text.format(number=number) for name, text in headers.items()}
            assert (await running.get(target, method=method, **sent)).status == expected


async def test_each_token_has_its_own(tmp_path: Path) -> None:
    """One that is over its limit takes nothing from another."""
    async with guarded(tmp_path, access__client_rate_per_s=1, access__client_burst=2, upstream__deadline_s=0.5) as running:
        for token in (ALL, ROOT):
            assert [(await running.get(OF_OURS, **bearer(token))).status for _ in range(3)] == [200, 200, 503]


async def test_so_many_at_once(tmp_path: Path) -> None:
    """Others of the client wait for their turn, also when one that waited or was served goes away; nothing is left over."""
    gate = asyncio.Event()
    async with world(tmp_path, access__client_concurrency=2) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        asking = [asyncio.create_task(running.get(f"{QUESTION}&stepMin={number}")) for number in range(1, 7)]
        await running.arrived(6)
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 2)
        for gone in (asking[0], asking[3]):
            gone.cancel()
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 3)
        gate.set()
        rest = [one for one in asking if one not in (asking[0], asking[3])]
        assert {reply.status for reply in await asyncio.gather(*rest)} == {200}
        limits = running.parts.web.limits
        assert (limits._under_way, limits._waiting) == ({}, {})


async def test_too_long_a_wait_for_a_turn(tmp_path: Path) -> None:
    """Whoever's turn doesn't come by the deadline is refused."""
    async with world(tmp_path, access__client_concurrency=1, upstream__deadline_s=0.3) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HANG, times=None))
        replies = await asyncio.gather(*(running.get(f"{QUESTION}&stepMin={number}") for number in range(1, 4)))
        assert min(reply.status for reply in replies) == 503
        assert "client-limited" in {reply.json["code"] for reply in replies}
        assert (running.parts.web.limits._under_way, running.parts.web.limits._waiting) == ({}, {})


async def test_addresses_that_one_client_can_choose_from(tmp_path: Path) -> None:
    """IPv6 addresses with the same first 64 bits are one client's; its neighbour's requests are not held against it."""
    limits: dict[str, Any] = {"access__client_rate_per_s": 1, "access__client_burst": 2, "upstream__deadline_s": 0.3}
    async with world(tmp_path, access__trusted_proxies="127.0.0.1", **limits) as running:
        for host, status in (("1", 200), ("2", 200), ("3", 503), ("4:5:6:7", 503)):
            assert (await running.get(X_Forwarded_For=f"2001:db8:0:1::{host}".replace("::4", ":4"))).status == status
        assert (await running.get(X_Forwarded_For="2001:db8:0:2::1")).status == 200


def asked(calls: int, seen: Counters) -> bool:
    return seen.by_path[METRICS] == calls


async def test_more_at_once_from_now_on(tmp_path: Path) -> None:
    """Who waits goes as soon as the settings let it; with fewer at once nobody is ended; nothing is left over."""
    gate = asyncio.Event()
    async with world(tmp_path, access__client_concurrency=1) as running:
        limits, counters = running.parts.web.limits, running.standin.counters
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, times=None, gate=gate))
        asking = [asyncio.create_task(running.get(f"{QUESTION}&stepMin={number}")) for number in range(1, 7)]
        await running.arrived(6)
        for concurrency, reached in ((3, 3), (1, 3), (5, 5)):
            await reload(tmp_path, running, access__client_concurrency=concurrency)
            await counters.reached(partial(asked, reached))
            assert limits._under_way == {"127.0.0.1": reached}
        await reload(tmp_path, running)
        await counters.reached(lambda seen: seen.by_path[METRICS] == 6)
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
        assert (limits._under_way, limits._waiting) == ({}, {})


async def test_fewer_at_once_from_now_on(tmp_path: Path) -> None:
    """Those that are under way end, and only then does the next one go."""
    gates = [asyncio.Event() for _ in range(4)]
    async with world(tmp_path, access__client_concurrency=3) as running:
        counters = running.standin.counters
        for gate in gates:
            running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        asking = [asyncio.create_task(running.get(f"{QUESTION}&stepMin={number}")) for number in range(1, 5)]
        await running.arrived(4)
        await counters.reached(lambda seen: seen.by_path[METRICS] == 3)
        await reload(tmp_path, running, access__client_concurrency=1)
        for gate, calls in zip(gates, (3, 3, 4, 4), strict=True):
            gate.set()
            if calls == 3:
                await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                asking = [one for one in asking if not one.done()]
            await counters.reached(partial(asked, calls))
        assert {reply.status for reply in await asyncio.gather(*asking)} == {200}


async def test_another_rate_from_now_on(tmp_path: Path) -> None:
    """It begins anew for everybody; one that is the same goes on."""
    async with world(tmp_path, access__client_rate_per_s=1, access__client_burst=2, upstream__deadline_s=0.3) as running:
        same: dict[str, Any] = {"access__client_rate_per_s": 1, "access__client_burst": 2, "upstream__deadline_s": 0.3}
        assert [(await running.get()).status for _ in range(3)] == [200, 200, 503]
        await reload(tmp_path, running, **same, access__client_limit_status=429)
        assert (await running.get()).status == 429
        await reload(tmp_path, running, **same | {"access__client_burst": 3})
        assert [(await running.get()).status for _ in range(4)] == [200, 200, 200, 503]
        await reload(tmp_path, running)
        assert [(await running.get()).status for _ in range(9)] == [200] * 9
