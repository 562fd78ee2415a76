"""`multi-metric-batch-bucketed` of the stand-in: buckets, means, flags, refusals."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from proxy.standin import KeyOrder, Row, sqids

from .support import Caller, Reply

CHARTS = "/api/chart-data/multi-metric-batch-bucketed"
RUN = sqids.encode(1)


async def ask(caller: Caller, **fields: Any) -> Reply:
    given = {"organizationId": "org_demo", "projectName": "demo", "runIds": [RUN], "logNames": ["loss"]} | fields
    text = json.dumps({name: value for name, value in given.items() if value is not ...})
    return await caller.ask("input=" + quote(text), path=CHARTS)


async def test_a_bucket_for_each_step(caller: Caller) -> None:
    """Fewer steps than buckets: the rows themselves, and a default of 1,000 buckets."""
    reply = await ask(caller)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.json == {
        "loss": {
            RUN: {
                "steps": list(range(10)),
                "times": ["2026-01-01 00:00:00.000"] * 10,
                "values": [step / 2 for step in range(10)],
                "minYs": [step / 2 for step in range(10)],
                "maxYs": [step / 2 for step in range(10)],
                "counts": [1] * 10,
                "nfFlags": [0] * 10,
            }
        }
    }
    assert b'"values":[0,0.5,1,' in reply.body


async def test_wide_buckets(caller: Caller) -> None:
    """Of equal width, beginning at the series' own first step or at the window's; without finite values there is null."""
    nan, infinite = float("nan"), float("inf")
    values = [1, nan, 3, nan, nan, infinite, -infinite, 8, *range(9, 30)]
    caller.standin.rows.insert(
        Row(run_id=1, log_name="x", step=100 + step, value=value, time=f"2026-01-01 00:00:{step:02}.000")
        for step, value in enumerate(values)
        if step != 20
    )
    whole = (await ask(caller, logNames=["x"], buckets=10)).json["x"][RUN]
    # 29 steps: buckets of two.
    assert whole["steps"] == list(range(100, 130, 2))
    assert whole["values"][:5] == [1, 3, None, 8, 9.5]
    assert (whole["minYs"][:4], whole["maxYs"][:4]) == ([1, 3, None, 8], [1, 3, None, 8])
    assert whole["counts"][:5] == [2, 2, 2, 2, 2]
    assert whole["nfFlags"][:5] == [1, 1, 3, 4, 0]
    assert (whole["counts"][10], whole["times"][10]) == (1, "2026-01-01 00:00:21.000")
    window = (await ask(caller, logNames=["x"], buckets=10, stepMin=99, stepMax=128)).json["x"][RUN]
    assert window["steps"] == list(range(99, 129, 3))
    assert window["counts"][0] == 2
    for alone in ({"stepMin": 110}, {"stepMax": 110}):
        assert (await ask(caller, logNames=["x"], buckets=10, **alone)).json["x"][RUN] == whole
    assert (await ask(caller, logNames=["x"], stepMin=9, stepMax=5)).json == {}


async def test_runs_and_their_names(caller: Caller) -> None:
    """Short ids and display ids of the project; what has no rows is left out, what isn't there is a 500."""
    caller.standin.rows.insert(Row(run_id=run, log_name=name, step=1, value=1) for run in (2, 3) for name in ("loss", "acc"))
    caller.standin.rows.insert([Row(run_id=4, log_name="loss", step=1, value=1, project="other")])
    display = caller.standin.catalogue.runs("org_demo", "demo")[1].display_id
    reply = await ask(
        caller, runIds=[display.lower(), RUN, sqids.encode(4), sqids.encode(99)], logNames=["none", "loss", "acc"]
    )
    assert {name: list(runs) for name, runs in reply.json.items()} == {"loss": [display.lower(), RUN], "acc": [display.lower()]}
    caller.standin.key_order = KeyOrder.OWN
    reply = await ask(caller, runIds=[display, RUN], logNames=["loss", "acc"])
    assert [(name, list(runs)) for name, runs in reply.json.items()] == [("acc", [display]), ("loss", [RUN, display])]
    for unknown in ("DEM-99", "", "é", "a b"):
        reply = await ask(caller, runIds=[RUN, unknown])
        assert (reply.status, reply.json) == (500, {"error": "Internal Server Error"})
    assert (await ask(caller, projectName="none")).json == {}


async def test_what_is_named_twice(caller: Caller) -> None:
    """Counted as often, but not where there is a window; of two spellings the last one is answered with."""
    display = caller.standin.catalogue.runs("org_demo", "demo")[0].display_id
    assert (await ask(caller, logNames=["loss"] * 2)).json["loss"][RUN]["counts"] == [2] * 10
    assert (await ask(caller, runIds=[RUN, display])).json["loss"][display]["counts"] == [2] * 10
    assert (await ask(caller, runIds=[display, RUN], stepMin=0, stepMax=9)).json["loss"][RUN]["counts"] == [1] * 10


@pytest.mark.parametrize(
    "fields",
    [
        {"organizationId": ...},
        {"organizationId": 1},
        {"projectName": None},
        {"runIds": []},
        {"runIds": ["a"] * 201},
        {"runIds": "a"},
        {"logNames": [1]},
        {"buckets": 9},
        {"buckets": 20001},
        {"buckets": 10.5},
        {"buckets": "10"},
        {"buckets": None},
        {"stepMin": -1},
        {"stepMax": True},
    ],
)
async def test_bad_inputs(caller: Caller, fields: dict[str, Any]) -> None:
    """One text for all of them."""
    reply = await ask(caller, **fields)
    assert (reply.status, reply.json) == (400, {"error": "Invalid input"})


async def test_refusals(caller: Caller) -> None:
    """No input, no JSON, another organization, no key."""
    for query in (None, "input=", "x=1"):
        reply = await caller.ask(query, path=CHARTS)
        assert (reply.status, reply.json) == (400, {"error": "Missing input parameter"})
    for text in ("x", "[]", "1", "NaN"):
        assert (await caller.ask(f"input={text}", path=CHARTS)).json == {"error": "Invalid input"}
    for organization in ("org_other", ""):
        reply = await ask(caller, organizationId=organization)
        assert (reply.status, reply.json) == (403, {"error": "API key does not authorize this organization"})
    assert (await caller.ask("input={}", path=CHARTS, headers={})).status == 401
    # What the schema lacks is dropped.
    assert (await ask(caller, preview=True, buckets=20000)).status == 200
    assert (await ask(caller, logNames=["__proto__", "loss"])).json.keys() == {"loss"}
