"""What is under way when the settings are switched: it is answered, and as the new settings want it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from proxy.standin import Fault, FaultKind
from tests.support.reloading import reload
from tests.support.tokens import TEAM, bearer, token, write
from tests.support.world import METRICS, Reply, World, until, world

LONG: dict[str, Any] = {"freshness__running_s": 100, "freshness__client_floor_s": 0}
SHORT: dict[str, Any] = {"freshness__running_s": 10, "freshness__stale_while_revalidate_s": 0, "freshness__client_floor_s": 0}


@dataclass(slots=True)
class Gate:
    """Something in the proxy that stands still until it is let go on."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def held_back(part: Any, method: str) -> AsyncIterator[Gate]:
    """Hold back the first call of a coroutine of a part, after it has done its work."""
    gate, really = Gate(), getattr(part, method)

    async def held(*arguments: Any, **named: Any) -> Any:
        done = await really(*arguments, **named)
        if not gate.reached.is_set():
            gate.reached.set()
            await until(gate.opened)
        return done

    with patch.object(part, method, held):
        yield gate


@asynccontextmanager
async def asked(folder: Path, running: World, *, headers: dict[str, str], **settings: Any) -> AsyncIterator[Reply]:
    """Ask what the upstream takes time for, and reload meanwhile; yield the response."""
    gate = asyncio.Event()
    running.standin.counters.reset()
    running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
    asking = asyncio.create_task(running.get(**headers))
    await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
    await reload(folder, running, **settings)
    gate.set()
    yield await asking


@pytest.mark.parametrize(
    ("before", "after", "headers", "code"),
    [
        ({}, {"access__networks": "10.0.0.0/8"}, {}, "network-refused"),
        ({"access__trusted_proxies": "127.0.0.1"}, {"access__networks": "127.0.0.1"}, {}, None),
        ({"server__allowed_hosts": "one.example"}, {}, {"Host": "one.example"}, "wrong-host"),
        ({}, {"server__allowed_hosts": "one.example"}, {}, None),
    ],
)
async def test_who_may_no_longer_ask(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], headers: dict[str, str], code: str | None
) -> None:
    """Nobody is answered whom the new settings refuse, and everybody else is; nor does the shortcut remember anything."""
    async with world(tmp_path, **before) as running, asked(tmp_path, running, headers=headers, **after) as reply:
        assert reply.json.get("code") == code if code else reply.status == 200
        again = await running.get(**headers)
        assert again.status == reply.status
        assert (await running.get(**headers)).status == reply.status


async def test_a_token_is_needed_meanwhile(tmp_path: Path) -> None:
    """Who has sent none is refused, who has sent a good one is answered; where none is needed any more, everybody is."""
    path = tmp_path / "tokens" / "tokens.json"
    write(path, token("team"))
    async with world(tmp_path) as running:
        async with asked(tmp_path, running, headers={}, access__tokens_file=path) as reply:
            assert (reply.status, reply.json["code"]) == (401, "unauthorized")
        assert (await running.get(**bearer(TEAM))).status == 200
    async with world(tmp_path / "open", access__tokens_file=path) as running:
        async with asked(tmp_path / "open", running, headers=bearer(TEAM)) as reply:
            assert reply.status == 200
        assert (await running.get()).status == 200


async def test_a_stored_answer_that_is_too_old_by_now(tmp_path: Path) -> None:
    """It is looked up once more: what goes out after a switch keeps what the new lifetimes promise."""
    async with world(tmp_path, **LONG) as running:
        await running.get()
        running.advance(50)
        async with held_back(running.parts.fetching.encoder, "choose") as gate:
            asking = asyncio.create_task(running.get())
            await until(gate.reached)
            await reload(tmp_path, running, **SHORT)
            gate.opened.set()
            reply = await asking
        assert (reply.status, reply.headers["Age"]) == (200, "0")
        assert running.metrics_calls == 2


async def test_what_was_just_asked_for_is_not_asked_for_again(tmp_path: Path) -> None:
    """However often the settings are switched while the upstream answers."""
    settings: dict[str, Any] = {"freshness__running_s": 0, "freshness__negative_s": 0}
    async with world(tmp_path, **settings) as running, asked(tmp_path, running, headers={}, **settings) as reply:
        assert reply.status == 200
        assert running.metrics_calls == 1


async def test_what_a_request_may_demand(tmp_path: Path) -> None:
    """A request that the floor of before gave an older answer than it wanted gets one that the new floor allows."""
    async with world(tmp_path, freshness__running_s=100, freshness__client_floor_s=100) as running:
        await running.get()
        running.advance(50)
        async with held_back(running.parts.fetching.encoder, "choose") as gate:
            asking = asyncio.create_task(running.get(Cache_Control="max-age=1"))
            await until(gate.reached)
            await reload(tmp_path, running, **LONG)
            gate.opened.set()
            assert (await asking).headers["Age"] == "0"


async def test_a_view(tmp_path: Path) -> None:
    """A view that was fresh enough is put together anew where it isn't any more."""
    target = "/view/series?project=demo&run=1&metric=loss"
    async with world(tmp_path, **LONG, series__enabled="true") as running:
        for _ in range(3):
            await running.get(target)
            await running.settled()
        running.advance(50)
        before = (await running.get(target)).json["series"][0]
        async with held_back(running.parts.view.viewer, "_all") as gate:
            asking = asyncio.create_task(running.get(target))
            await until(gate.reached)
            await reload(tmp_path, running, **SHORT, series__enabled="true")
            gate.opened.set()
            after = (await asking).json["series"][0]
        assert before["asked_at_s"] < after["asked_at_s"]
