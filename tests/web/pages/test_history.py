"""`/admin/history`, and the busiest questions in `/admin/usage`."""

from pathlib import Path

import pytest

from proxy.service.history.recorder import EVERY_S
from tests.support.tokens import ALL, OURS, ROOT, TEAM, bearer, guarded
from tests.support.world import METRICS, QUESTION, world

PATH = "/admin/history"


async def test_it_takes_an_admin(tmp_path: Path) -> None:
    """As the other pages there; and it names no run, project, metric or token."""
    async with guarded(tmp_path) as running:
        await running.get(f"{METRICS}?runId={OURS}&projectName=ours&logName=loss", **bearer(TEAM))
        running.advance(EVERY_S)
        running.parts.history.record()
        assert [(await running.get(PATH, **bearer(name))).status for name in (TEAM, ALL)] == [403, 403]
        assert (await running.get(PATH)).status == 401
        reply = await running.get(PATH, **bearer(ROOT))
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.json["every_s"] == EVERY_S
        (point,) = reply.json["points"]
        assert point["misses"] == 1
        assert not [name for name in (b"ours", b"loss", b"team") if name in reply.body]
        assert (await running.get(PATH, method="HEAD", **bearer(ROOT))).status == 200


async def test_only_what_is_new_can_be_asked_for(tmp_path: Path) -> None:
    """Points that ended after a moment."""
    async with world(tmp_path) as running:
        for _ in range(3):
            running.advance(EVERY_S)
            running.parts.history.record()
        points = (await running.get(PATH)).json["points"]
        assert len(points) == 3
        assert (await running.get(f"{PATH}?since={points[1]['at_s']}")).json["points"] == points[2:]


@pytest.mark.parametrize("query", ["since=x", "since=nan", "since=inf", "since=1&since=2", "since=", "until=1", "since=%ff"])
async def test_faulty_queries(tmp_path: Path, query: str) -> None:
    """Each fault is named."""
    async with world(tmp_path) as running:
        reply = await running.get(f"{PATH}?{query}")
        assert (reply.status, len(reply.json["faults"])) == (400, 1)


async def test_the_busiest_questions(tmp_path: Path) -> None:
    """Those asked most come first, hits of the fast way counted; errors aren't questions."""
    other = f"{METRICS}?runId=1&projectName=demo&logName=other&limit=2"
    async with world(tmp_path) as running:
        for asked in (QUESTION, other, QUESTION, QUESTION, QUESTION, other, "/nowhere"):
            await running.get(asked)
        questions = (await running.get("/admin/usage")).json["questions"]
        assert questions == [{"question": QUESTION, "requests": 4}, {"question": other, "requests": 2}]
