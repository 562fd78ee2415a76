"""The shortcut never goes on with settings of before."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxy.standin import Fault, FaultKind
from tests.support.reloading import OTHER, reload
from tests.support.wire import LARGE, request, watched
from tests.support.world import METRICS

pytestmark = pytest.mark.leases

ORIGIN = "https://one.example"
# For a client of 127.0.0.1 that is of a page: all of it matters to some setting or other.
RAW = request(f"{LARGE}&nonce=1", f"Origin: {ORIGIN}", "Cache-Control: max-age=1", "Host: proxy.example")
NAMES = sorted(OTHER.keys() - {"access.open", "access.tokens_file"})


async def test_after_any_change(tmp_path: Path) -> None:
    """Whatever setting has changed: what the shortcut says next is what the ordinary way says, and not what it said before."""
    usual: dict[str, Any] = {"server__allowed_hosts": "proxy.example", "upstream__ignored_params": "nonce"}
    async with watched(tmp_path, **usual) as seen:
        for name in NAMES:
            await reload(tmp_path, seen.running, **usual)
            await seen.warm(RAW)
            await reload(tmp_path, seen.running, **usual | {name.replace(".", "__"): OTHER[name]})
            reply, was_fast = await seen.ask(RAW)
            assert not was_fast, name
            assert reply.exact == (await seen.ordinary(RAW)).exact, name


@pytest.mark.parametrize(
    ("settings", "status", "field"),
    [
        ({"server__cors_origins": ORIGIN}, 200, ORIGIN),
        ({"access__networks": "10.0.0.0/8"}, 403, None),
        ({"server__allowed_hosts": ""}, 421, None),
    ],
)
async def test_a_hit_that_was_seen(tmp_path: Path, settings: dict[str, Any], status: int, field: str | None) -> None:
    """Origins, networks and hosts of the new settings hold for the very next request on an open connection."""
    hosts = {"server__allowed_hosts": "proxy.example"}
    async with watched(tmp_path, **hosts, upstream__ignored_params="nonce") as seen:
        before = await seen.warm(RAW)
        assert before.header("Access-Control-Allow-Origin") is None
        await reload(tmp_path, seen.running, **hosts | settings, upstream__ignored_params="nonce")
        reply, _ = await seen.ask(RAW)
        assert (reply.status, reply.header("Access-Control-Allow-Origin")) == (status, field)


async def test_what_was_decided_before_a_switch_is_not_remembered(tmp_path: Path) -> None:
    """A response that was made half by settings of before goes out, but not once more."""
    gate = asyncio.Event()
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        await seen.ordinary(request())
        seen.running.advance(1)
        seen.running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        seen.running.standin.counters.reset()
        raw = request(LARGE, "Cache-Control: no-cache")
        asking = asyncio.create_task(seen.ask(raw))
        await seen.running.standin.counters.reached(lambda counts: counts.by_path[METRICS] == 1)
        await reload(tmp_path, seen.running, server__cors_origins=ORIGIN, freshness__client_floor_s=0)
        gate.set()
        assert (await asking)[0].status == 200
        assert seen.running.parts.web.leases.count == 0
