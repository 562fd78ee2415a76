"""The stand-in answers as the upstream was recorded to answer."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proxy.standin import Key, KeyStatus, Organization, Standin, StandinConfig, StepMode
from tests.support.recordings import recordings
from tests.support.world import DATA

from .support import Caller

RECORDED = recordings()
# Two groups have rows at the same steps there, whose order (and so which of them a sampling takes) is undefined.
TIED = {113, 115, 119, 121, 247}
OWN_HEADERS = {"date", "server", "set-cookie", "x-powered-by"}
DEMO = Organization(id="org_demo", slug="demo")
KEYS = (
    Key(text="mlpi_demo0123456789AB", organization=DEMO),
    Key(text="mlpi_other0123456789A", organization=Organization(id="org_other", slug="other")),
    Key(text="mlpi_expired012345678", organization=DEMO, status=KeyStatus.EXPIRED),
)


@pytest.fixture(scope="module")
def loaded() -> Standin:
    standin = Standin(StandinConfig(keys=KEYS))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    return standin


@pytest.fixture
async def caller(loaded: Standin) -> AsyncIterator[Caller]:
    async with loaded.serve() as url, aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"]) as session:
        yield Caller(loaded, url, session)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: str(recorded["id"]))
async def test_a_recorded_exchange_is_reproduced(recorded: dict[str, Any], caller: Caller) -> None:
    """Status, headers and body are byte for byte those recorded, up to the order of tied rows."""
    caller.standin.mode = StepMode(recorded["mode"])
    reply = await caller.ask(recorded["query"], path=recorded["path"], headers=recorded["headers"], method=recorded["method"])
    assert reply.status == recorded["status"]
    headers = Counter((name.lower(), value) for name, value in reply.headers.items() if name.lower() not in OWN_HEADERS)
    assert headers == Counter(map(tuple, recorded["resp_headers"]))
    body = recorded["body"] or ""
    if recorded["id"] in TIED:
        assert_equal_but_for_ties(reply.metrics, json.loads(body)["metrics"])
    else:
        assert reply.body.decode() == body


def assert_equal_but_for_ties(rows: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same names and steps in the same order; where no step is tied, the same rows."""
    assert [(row["logName"], row["step"]) for row in rows] == [(row["logName"], row["step"]) for row in expected]
    untied = [row for row in rows if row["logName"] != "dup" or not 10 <= int(row["step"]) < 40]
    assert all(row in expected for row in untied)
    if sum(row["logName"] == "dup" for row in rows) == 80:  # all of them, so that none was a matter of chance
        assert sorted(map(str, rows)) == sorted(map(str, expected))
