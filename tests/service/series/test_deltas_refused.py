"""Deltas that fail, contradict what is known or are of no use: what they were for is fetched whole."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from proxy.core.series import metrics_query
from proxy.service.series.deltas import Deltas
from tests.support.live_runs import WHOLE, WIDE, begin, later, live, settle, since
from tests.support.oracle_upstream import REFUSAL, OracleUpstream, right, row, series_world, target

pytestmark = pytest.mark.usefixtures("on_time")


def deleted(upstream: OracleUpstream) -> None:
    upstream.remove("loss", 60)


def deleted_last(upstream: OracleUpstream) -> None:
    upstream.remove("loss", 99)


def deleted_all(upstream: OracleUpstream) -> None:
    upstream.rows.clear()
    upstream.note()


def rewritten(upstream: OracleUpstream) -> None:
    upstream.log("loss", [60], value=7)


def other_step_form(upstream: OracleUpstream) -> None:
    upstream.log("loss", range(103), quoted=True)


def field_added(upstream: OracleUpstream) -> None:
    upstream.log("loss", range(103), unit="ms")


def new_field_in_new_rows(upstream: OracleUpstream) -> None:
    upstream.log("loss", [100, 101], unit="ms")


def tied(upstream: OracleUpstream) -> None:
    upstream.log("loss", [99], group="g")


@pytest.mark.parametrize(
    "change", [deleted, deleted_last, deleted_all, rewritten, other_step_form, field_added, new_field_in_new_rows, tied]
)
@pytest.mark.parametrize("others", [(), ("other",)])
async def test_what_does_not_fit(tmp_path: Path, change: Callable[[OracleUpstream], None], others: tuple[str, ...]) -> None:
    """A delta that contradicts what is known is not joined to it: the series is fetched whole before it answers again."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "loss", *others)
        raws = ("logName=loss&limit=10", *(f"logName={name}" for name in others))
        for raw in raws:
            await right(running, upstream, raw)

        def grow() -> None:
            upstream.log("loss", range(100, 103))
            change(upstream)

        asked = await later(running, upstream, *raws, grow=grow)
        also = [target("logName=other&limit=10000")] if others and change is deleted_all else []
        itself = target("logName=loss&limit=10") if change in {tied, new_field_in_new_rows} else WIDE
        # What was written again behind rows that are as they were is taken over.
        full = [] if change is rewritten else [itself, *also]
        assert asked == [since(50, None if others else "loss"), *full]
        for step in range(103, 106):
            await later(running, upstream, *raws, grow=partial(upstream.log, "loss", [step]))


async def test_too_many_new_rows(tmp_path: Path) -> None:
    """A delta of which half the limit can't prove itself complete is not joined; the panel is asked for as it came."""
    with patch.object(metrics_query, "MAX_LIMIT", 20):
        async with live(tmp_path) as (running, upstream):
            settle(upstream, "loss", range(10))
            await right(running, upstream, "logName=loss&limit=5")
            running.advance(6)
            upstream.log("loss", range(10, 40))
            upstream.asked.clear()
            for raw in ("logName=loss&limit=5", "logName=loss&limit=4"):
                assert (await right(running, upstream, raw)).headers["Age"] == "0"
            assert upstream.asked[0] == target("logName=loss&limit=20&stepMin=9")
            assert upstream.asked[-1] == target("logName=loss&limit=4")


async def test_a_delta_that_fails(tmp_path: Path) -> None:
    """Its panels are answered with what is there; once it isn't remembered any more all of it is asked for."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        await right(running, upstream, "logName=loss&limit=10")  # learns that it is running
        running.advance(6)
        upstream.failing = True
        upstream.asked.clear()
        for _ in range(3):
            stale = await running.get(target("logName=loss&limit=10"))
            assert "stale: upstream-failed" in stale.cache_status
            assert stale.headers["Age"] == "6"
        assert upstream.asked == [since(50)]
        upstream.failing = False
        assert await later(running, upstream, grow=lambda: upstream.log("loss", [3, 100])) == [WIDE]
        assert await later(running, upstream) == [since(50)]


def refused(_: Any) -> bytes:
    raise web.HTTPBadRequest(text=REFUSAL, content_type="application/json")


def misprinted(_: Any) -> bytes:
    return b'{"metrics": []}'


def out_of_order(upstream: OracleUpstream) -> Callable[[Any], bytes]:
    def say(query: Any) -> bytes:
        rows = json.loads(upstream.answer(query))["metrics"]
        return json.dumps({"metrics": rows[::-1]}, separators=(",", ":")).encode()

    return say


@pytest.mark.parametrize("kind", ["refused", "misprinted", "out of order"])
async def test_a_delta_that_is_of_no_use(tmp_path: Path, kind: str) -> None:
    """Refused or not understood: the panel is answered within the same request, by asking for all of it."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        say = {"refused": refused, "misprinted": misprinted, "out of order": out_of_order(upstream)}[kind]
        upstream.instead = lambda query: (say if "stepMin" in query else upstream.answer)(query)
        running.advance(6)
        upstream.log("loss", [100])
        upstream.asked.clear()
        reply = await right(running, upstream, "logName=loss&limit=10")
        assert reply.headers["Age"] == "0"
        assert upstream.asked == [since(50), WIDE]


async def test_a_delta_that_is_too_large(tmp_path: Path) -> None:
    """What is beyond the bound for what nobody asked for is given up, and the panel asked for as it came."""
    async with live(tmp_path, series__max_fetch_bytes=20_000) as (running, upstream):
        begin(upstream)
        await right(running, upstream, "logName=loss&limit=10")
        asked = await later(running, upstream, grow=lambda: upstream.log("loss", range(100, 400)))
        assert asked == [since(50), target("logName=loss&limit=10")]
        assert await later(running, upstream) == [target("logName=loss&limit=10")]


async def test_a_name_whose_own_question_fails(tmp_path: Path) -> None:
    """A delta with a new name is no use without it: nothing is answered as if it had no rows, and next time all is asked."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "a", "b")
        before = await right(running, upstream, "limit=10")

        def failing(query: Any) -> bytes:
            if query.get("logName") == "new":
                raise web.HTTPInternalServerError
            return upstream.answer(query)

        upstream.instead = failing
        running.advance(6)
        upstream.log("new", range(0, 120, 7))
        upstream.asked.clear()
        stale = await running.get(target("limit=10"))
        assert stale.body == before.body
        assert stale.headers["Age"] == "6"
        assert upstream.asked == [since(50, None), target("logName=new&limit=10000")]
        upstream.instead = None
        assert await later(running, upstream, "limit=10") == [WHOLE]


async def test_what_crashes_with_nobody_waiting_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a refresh that nobody waits for leaves a line, and the next one is tried."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.put(row("loss", step) for step in range(50))
        await right(running, upstream, "logName=loss&limit=10")
        running.advance(6)
        with capture_logs() as logs, monkeypatch.context() as broken:
            broken.setattr(Deltas, "update", lambda *_: 1 / 0)
            await right(running, upstream, "logName=loss&limit=10")
            await running.settled()
        assert [line["event"] for line in logs if line["log_level"] == "error"] == ["refresh.crashed"]
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "6"
        await running.settled()
        assert (await right(running, upstream, "logName=loss&limit=10")).headers["Age"] == "0"
