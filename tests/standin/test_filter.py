"""The grammar of `list`'s `filter`."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest

from .support import Caller, Clock, listed_runs, read, refused


@pytest.fixture
async def caller(clock: Clock) -> AsyncIterator[Caller]:
    standin = listed_runs(clock)
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        yield Caller(standin, url, session)


FILTERS: list[tuple[object, list[int]]] = [
    ({}, [4, 3, 2, 1]),
    ({"$and": []}, []),
    ({"$or": []}, []),
    ({"$not": {"status": "FAILED"}}, [4, 2, 1]),
    ({"status": "failed", "name": "run-c"}, [3]),
    ({"$or": [{"state": "finished"}, {"state": {"$in": ["crashed", "Killed"]}}]}, [3, 2]),
    ({"status": {"$nin": ["RUNNING", "preempted"]}}, [3, 2]),
    ({"status": {"$ne": "RUNNING"}}, [3, 2]),
    ({"name": {"$regex": "UN-"}}, [4, 3, 2, 1]),
    ({"displayName": {"$ne": "run-a"}}, [4, 3, 2]),
    ({"tags": "odd"}, [3, 1]),
    ({"tags": {"$in": ["even", "none"]}}, [4, 2]),
    ({"created_at": {"$gt": "2026-05-28T20:27:40Z", "$lte": "2026-05-28T20:29:40.000Z"}}, [4, 3]),
    ({"createdAt": "2026-05-28 20:26:40"}, [1]),
    ({"updated_at": {"$gte": "2030-01-01"}}, []),
    ({"heartbeat_at": {"$gt": "2026-06-01T03:00:00Z"}}, [1]),
    ({"heartbeatAt": {"$lt": "2026-06-01T02:00:01Z", "$gte": "1780275600"}}, [3, 2]),
    ({"config.lr": 0.2}, [2]),
    ({"config.lr": "0.2"}, [2]),
    ({"config.lr": {"$gt": 0.1, "$lt": 0.4}}, [3, 2]),
    ({"config.opt.name": {"$regex": "^L"}}, [4, 3]),
    ({"config.opt.name": {"$nin": ["adam"]}}, [4, 3]),
    ({"config.none": {"$ne": "x"}}, [4, 3, 2, 1]),
    ({"config.lr": {"$gte": "many"}}, [4, 3, 2, 1]),
    ({"config.seed": "007"}, []),
    ({"systemMetadata.konduktor.job_name": {"$in": ["train-1-1"]}}, [1]),
    ({"summaryMetrics.loss": {"$lte": 0.5, "$ne": 0.1}}, [1]),
    ({"summary_metrics.loss": {"$gt": "many"}}, []),
]  # fmt: skip
WRONG: list[tuple[object, str]] = [
    ({"$and": {}}, "$and expects an array"),
    ({"$or": [7]}, "filter must be an object"),
    ({"$nor": []}, "unknown boolean operator: $nor"),
    ({"colour": "red"}, "unknown filter field: colour"),
    ({"config.": 1}, "unknown filter field: config."),
    ({"name": {"$like": "x"}}, "unknown leaf operator: $like"),
    ({"status": "gone"}, "unknown run state: gone"),
    ({"status": {"$gt": "RUNNING", "$lt": "x"}}, "unsupported operator for status: $gt,$lt"),
    ({"name": {"$in": []}}, "unsupported operator for name: $in"),
    ({"tags": {"$ne": "x"}}, "unsupported operator for tags: $ne"),
    ({"createdAt": {"$ne": "x"}}, "unsupported operator for createdAt: $ne"),
    ({"summaryMetrics.loss": {"$regex": "x"}}, "unsupported operator for summaryMetrics: $regex"),
    ({"heartbeat_at": "2026-01-01"}, "heartbeat_at needs a $gt/$gte/$lt/$lte bound"),
]


@pytest.mark.parametrize(("query", "ids"), FILTERS, ids=str)
async def test_the_filter_s_grammar(caller: Caller, query: object, ids: list[int]) -> None:
    """Conditions select, booleans combine."""
    answer = await read(caller, f"list?projectName=demo&filter={quote(json.dumps(query))}")
    assert [run["id"] for run in answer["runs"]] == ids
    assert answer["total"] == len(ids)


@pytest.mark.parametrize(("query", "error"), WRONG, ids=str)
async def test_filters_that_are_refused(caller: Caller, query: object, error: str) -> None:
    """In the upstream's words."""
    assert await refused(caller, f"list?projectName=demo&filter={quote(json.dumps(query))}") == (400, error)


async def test_a_filter_follows_the_status(caller: Caller) -> None:
    """What a test changes is selected at once."""
    await caller.control("POST", "runs", {"id": 3, "status": "RUNNING", "source": "resume"})
    answer = await read(caller, f"list?projectName=demo&filter={quote(json.dumps({'state': 'running'}))}")
    assert [run["id"] for run in answer["runs"]] == [4, 3, 1]
