"""What each token uses, in `/admin/usage` and in the metrics."""

import asyncio
from pathlib import Path
from typing import Any

from proxy.deferred_counts import DeferredCounts
from proxy.telemetry import Usage
from tests.support.tokens import ALL, OURS, ROOT, TEAM, THEIRS, bearer, guarded
from tests.support.world import METRICS, World, world

QUESTION = f"{METRICS}?runId={OURS}&projectName=ours&logName=loss"


async def usage(running: World, **headers: str) -> dict[str | None, Any]:
    reply = await running.get("/admin/usage", **headers)
    assert reply.status == 200
    return {one.pop("token"): one for one in reply.json["tokens"]}


async def test_each_token_has_its_own_numbers(tmp_path: Path) -> None:
    """Requests by outcome, hits of the fast way among them, the calls that they caused, and bytes; and no token shows."""
    async with guarded(tmp_path) as running:
        size = len((await running.get(QUESTION, **bearer(TEAM))).body)
        for _ in range(5):
            await running.get(QUESTION, **bearer(TEAM))
        hit = await running.get(QUESTION, **bearer(ALL))
        await running.get(QUESTION, method="HEAD", **bearer(ALL))
        await running.get(QUESTION, If_None_Match=hit.headers["ETag"], **bearer(ALL))
        told = await running.get(f"{METRICS}?runId={THEIRS}&projectName=theirs&logName=loss", **bearer(TEAM))
        await running.get(QUESTION)
        used = await usage(running, **bearer(ROOT))
        assert used["team"] == {
            "requests": 7,
            "outcomes": {"miss": 1, "hit": 5, "not-found": 1},
            "upstream_calls": 1,
            "body_bytes": 6 * size + len(told.body),
        }
        assert used["all"] == {"requests": 3, "outcomes": {"hit": 3}, "upstream_calls": 0, "body_bytes": size}
        assert used[None]["outcomes"] == {"unauthorized": 1}
        metrics = (await running.get("/metrics", **bearer(ROOT))).body.decode()
        assert 'pluto_proxy_token_requests_total{outcome="hit",token="team"} 5.0' in metrics
        assert 'pluto_proxy_token_upstream_calls_total{token="team"} 1.0' in metrics
        assert "ppt_" not in metrics


async def test_refreshes_count_for_who_caused_them(tmp_path: Path) -> None:
    """A call in the background is told of whoever's request began it."""
    async with guarded(tmp_path) as running:
        await running.get(QUESTION, **bearer(ALL))
        running.advance(7)
        assert "stale" in (await running.get(QUESTION, **bearer(TEAM))).cache_status
        await running.settled()
        used = await usage(running, **bearer(ROOT))
        assert (used["all"]["upstream_calls"], used["team"]["upstream_calls"]) == (1, 1)
        assert used["team"]["outcomes"] == {"stale": 1}


async def test_views_are_among_the_busiest_questions(tmp_path: Path) -> None:
    """By the series that they show: how wide a window or a screen is makes no other question. What is refused is none."""
    async with world(tmp_path) as running:
        for raw in ("run=1&run=2&metric=loss", "run=01&run=2&metric=loss&points=50", "metric=l%6fss&run=1&run=2&stepMin=3"):
            assert (await running.get(f"/view/series?project=demo&{raw}")).status == 200
        assert (await running.get("/view/series?project=demo&run=1")).status == 400
        asked = (await running.get("/admin/usage")).json["questions"]
        assert asked[0] == {"question": "/view/series?project=demo&run=1&run=2&metric=loss", "requests": 3}
        assert len(asked) == 1


async def test_without_tokens_there_is_one(tmp_path: Path) -> None:
    """Everybody counts together."""
    async with world(tmp_path) as running:
        await asyncio.gather(*(running.get() for _ in range(3)))
        used = await usage(running)
        assert (list(used), used[None]["requests"], used[None]["upstream_calls"]) == ([None], 3, 1)


def test_there_are_so_many_at_most() -> None:
    """Names beyond a thousand are counted together: nothing grows without end."""
    counted = Usage(DeferredCounts())
    for number in range(3_000):
        counted.note(f"t{number}", "hit", 1)
    assert len(counted.by_token) == 1_001
    assert counted.by_token["(others)"].body_bytes == 2_000
