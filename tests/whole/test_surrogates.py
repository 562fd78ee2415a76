r"""Lone surrogates (`"\ud83d"`) in what the upstream says: legal JSON, passed on byte for byte and computed from by nobody."""

from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from proxy.core.question.document import Check
from proxy.service.tenancy import VALIDATE_TARGET
from tests.support.oracle import OracleRow, permitted
from tests.support.oracle_upstream import OracleUpstream, asked_of, right, row, series_world, target
from tests.support.surrogates import BODIES
from tests.support.world import World, served, world

WIDE = "logName=loss&limit=10000"


def odd(step: int, *, name: str = r"loss\ud83d", flag: str = '"valueFlag":""') -> OracleRow:
    """A row with a lone surrogate; the upstream's order has its name right behind `loss`."""
    text = row("NAME", step).text.replace("NAME", name).replace('"valueFlag":""', flag)
    return OracleRow(name="loss" if name == "loss" else "loss~", group="", step=step, text=text)


@pytest.mark.parametrize("check", BODIES)
async def test_every_route(tmp_path: Path, check: Check) -> None:
    """The bytes that came are the bytes that go out, from upstream and from memory; so with the upstream's 4xx."""
    body = BODIES[check].encode()

    async def handle(request: web.Request) -> web.Response:
        if request.path == VALIDATE_TARGET:
            return web.Response(body=rb'{"valid":true,"organization":{"id":"o"},"user":{"name":"\ud83d"}}')
        if "runId=2" in request.query_string:
            return web.Response(status=404, body=rb'{"error":"no \ud83d"}', content_type="application/json")
        return web.Response(body=body, content_type="application/json")

    async with (
        served(handle) as upstream,
        world(tmp_path, upstream=upstream, series__enabled="true", freshness__running_s=60) as running,
    ):
        await running.parts.tenancy.settled()
        assert running.parts.tenancy.current().known
        route = next(route for route in running.parts.web.routes.routes if route.check is check)
        path = route.path if route.segment is None else f"{route.stem}1"
        asked = f"{path}?runId=1&projectName=p&runIds=1&logName=m"
        for hit in (False, True):
            reply = await running.get(asked)
            assert (reply.status, reply.body, reply.is_hit) == (200, body, hit)
        refused = await running.get("/api/runs/logs?runId=2&projectName=p")
        assert (refused.status, refused.body) == (404, rb'{"error":"no \ud83d"}')


async def test_an_organization_that_others_could_not_be_told_from(tmp_path: Path) -> None:
    """Entries stay under the key: two organizations whose names differ in a lone surrogate alone would share them."""

    async def handle(_request: web.Request) -> web.Response:
        return web.Response(body=rb'{"valid":true,"organization":{"id":"o\ud83d"}}')

    async with served(handle) as upstream, world(tmp_path, upstream=upstream) as running:
        tenancy = running.parts.tenancy
        assert await tenancy._ask_organization(tenancy.current()) is None
        assert not tenancy.current().known


async def whole(running: World, upstream: OracleUpstream) -> None:
    """Every kind of panel is right: all metrics, one, narrower windows, smaller limits."""
    for raw in ("", "limit=5", WIDE, "logName=loss&limit=7", "logName=loss&stepMin=3", "logName=acc", "logName=none"):
        await right(running, upstream, raw)


@pytest.mark.parametrize(
    "rows",
    [
        [odd(1), odd(2)],
        [odd(1), odd(2, name=r"loss\ud83e")],
        [odd(50, name="loss", flag=r'"valueFlag":"\ude00"')],
        [odd(1, name=r"\uDC00")],
    ],
    ids=["a name", "two names", "a value", "an order of its own"],
)
async def test_series(tmp_path: Path, rows: list[OracleRow]) -> None:
    """What holds one goes out as it came, be it there at once or new in a live run; others are computed as ever."""
    async with series_world(tmp_path, series__shadow_s=60) as (running, upstream):
        upstream.put(row(name, step) for name in ("acc", "loss", "zeal") for step in range(40))
        await whole(running, upstream)
        upstream.put(rows)
        for _ in range(6):
            running.advance(11)
            await whole(running, upstream)
            upstream.log("zeal", [len(upstream.rows)])
            await running.settled()
            await running.parts.proof.checks.settled()
        running.advance(400)
        await whole(running, upstream)
        assert (await running.get(target())).body in list(permitted(upstream.rows.values(), asked_of(dict(parse_qsl("")))))
        assert running.parts.proof.checks.trusted
        computed = running.parts.series.computer.computed
        await right(running, upstream, "logName=acc&limit=3")
        assert running.parts.series.computer.computed == computed + 1


async def test_a_comparison_with_them(tmp_path: Path) -> None:
    """What is computed from is asked for again to compare, and holds one by now: that breaks no rule, and tells nothing."""
    async with series_world(tmp_path, series__shadow_s=60, freshness__running_s=200) as (running, upstream):
        upstream.put(row("loss", step) for step in range(40))
        await right(running, upstream, WIDE)
        await running.parts.proof.checks.settled()
        running.advance(71)
        upstream.put([odd(6, name="loss", flag=r'"valueFlag":"\ude00"')])
        asked = len(upstream.asked)
        await running.get(target("logName=loss&limit=7"))
        await running.parts.proof.checks.settled()
        assert len(upstream.asked) == asked + 2
        assert running.parts.proof.checks.trusted
        assert not running.parts.proof.checks.failed
