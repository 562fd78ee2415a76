"""`list` filters, sorts and pages as upstream."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote

import aiohttp
import pytest

from proxy.standin import Standin

from .support import Caller, Clock, listed_runs, read, refused

SORTABLE = (
    "createdAt, updatedAt, name, status, heartbeat_at, config.<key>.value, systemMetadata.<key>.value, summary_metrics.<name>"
)
FIELDS_SHAPE = "fieldFilters has invalid shape; expected array of {source, key, dataType, operator, values}"


@pytest.fixture
def standin(clock: Clock) -> Standin:
    return listed_runs(clock)


@pytest.fixture
async def caller(standin: Standin) -> AsyncIterator[Caller]:
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        yield Caller(standin, url, session)


async def listed(caller: Caller, query: str) -> list[int]:
    answer = await read(caller, f"list?{query}")
    ids = [run["id"] for run in answer["runs"]]
    assert "limit" in query or "sort" in query or answer["total"] == len(ids)
    return ids


async def test_the_shape(caller: Caller) -> None:
    """Newest first; a short form of each run."""
    answer = await read(caller, "list?projectName=demo&limit=1")
    assert answer == {
        "runs": [
            {
                "id": 4, "name": "run-d", "number": 4, "displayId": "DEM-4", "projectName": "demo", "status": "RUNNING",
                "tags": ["even"], "createdAt": "2026-05-28T20:29:40.000Z",
            }
        ],
        "total": 4,
    }  # fmt: skip


PAGES = {
    "projectName=demo": [4, 3, 2, 1],
    "projectName=demo&limit=2": [4, 3],
    "projectName=demo&limit=2&offset=3": [1],
    "projectName=demo&limit=2&offset=100000": [],
    "projectName=unknown&status=nonsense": [],
    "projectName=Demo": [],
    "konduktorJobPrefix=train-1": [5, 3, 1],
    "konduktorJobPrefix=Train": [],
    "konduktorJobPrefix=train-1&projectName=": [5, 3, 1],
    "konduktorJobPrefix=train-1&projectName=demo": [3, 1],
    "projectName=demo&search=RUN-a": [1],
    "projectName=demo&search=dem-3": [3],
    "projectName=demo&search=%20n-_%20": [4, 3, 2, 1],
    "projectName=demo&search=nothing&status=nonsense": [],
    "projectName=demo&search=%20": [4, 3, 2, 1],
    "projectName=demo&tags=even": [4, 2],
    "projectName=demo&tags=gr%C3%B6%C3%9Fe,%20even%20,,even": [4, 3, 2, 1],
    "projectName=demo&tags=,": [4, 3, 2, 1],
    "projectName=demo&tags=Even": [],
    "projectName=demo&status=FAILED,%20COMPLETED%20,,FAILED": [3, 2],
    "projectName=demo&status=,": [4, 3, 2, 1],
    "projectName=demo&status=RUNNING&tags=odd": [1],
    "projectName=demo&heartbeatAfter=2026-06-01T02:00:00.500Z": [3, 1],
    "projectName=demo&heartbeatAfter=2026-06-01T02:00Z&heartbeatBefore=2026-06-01T03:00:00Z": [3],
    "projectName=demo&heartbeatBefore=2026-06-01T00:00:00Z": [],
}
SORTED = {
    "name": [1, 2, 3, 4],
    "-name": [4, 3, 2, 1],
    "%2Bcreated_at": [1, 2, 3, 4],
    "-updatedAt": [4, 3, 2, 1],
    "status": [1, 4, 2, 3],
    "-status": [3, 2, 4, 1],
    "heartbeat_at": [2, 3, 1],
    "-heartbeat": [1, 3, 2],
    "summary_metrics.loss": [2, 1, 3],
    "-summary_metrics.loss": [3, 1, 2],
    "summary_metrics.none": [],
    "-config.lr.value": [4, 3, 2, 1],
    "config.lr": [1, 2, 3, 4],
    "config.opt.name.value": [4, 3, 2, 1],
    "-config.opt.name": [2, 1, 4, 3],
    "systemMetadata.konduktor.job_name.value": [2, 4, 1, 3],
    "config.none": [4, 3, 2, 1],
}


@pytest.mark.parametrize(("query", "ids"), PAGES.items())
async def test_filters_and_pages(caller: Caller, query: str, ids: list[int]) -> None:
    """Lists are trimmed, empty items dropped; each filter narrows what the others leave."""
    assert await listed(caller, query) == ids


@pytest.mark.parametrize(("sort", "ids"), SORTED.items())
async def test_orders(caller: Caller, sort: str, ids: list[int]) -> None:
    """Columns, fields, last values and last signs of life; runs without the latter two are left out, not uncounted."""
    answer = await read(caller, f"list?projectName=demo&sort={sort}")
    assert [run["id"] for run in answer["runs"]] == ids
    assert answer["total"] == 4


REFUSED = {
    "": "projectName is required unless konduktorJobPrefix is provided",
    "projectName=": "projectName is required unless konduktorJobPrefix is provided",
    "sort=colour": f"invalid sort field 'colour'; allowed: {SORTABLE}",
    "sort=+name": f"invalid sort field ' name'; allowed: {SORTABLE}",
    "sort=-config..value": "invalid sort field 'config..value'; expected config.<key>.value",
    "sort=summary_metrics.": "invalid sort field 'summary_metrics.'; expected summary_metrics.<name>",
    "konduktorJobPrefix=train&sort=summary_metrics.loss": "summary_metrics.* sort requires projectName",
    "projectName=demo&status=RUNNING,running,x": (
        "invalid status value(s): running, x; allowed: RUNNING, COMPLETED, FAILED, TERMINATED, CANCELLED"
    ),
    "konduktorJobPrefix=train&heartbeatAfter=2026-06-01T02:00:00Z": "heartbeatAfter/heartbeatBefore require projectName",
    "projectName=demo&filter={": "filter must be valid JSON",
    "projectName=demo&filter=NaN": "filter must be valid JSON",
    "projectName=demo&filter=[]": "filter must be an object",
    "projectName=demo&fieldFilters={": "fieldFilters must be a valid JSON array",
    "projectName=demo&fieldFilters={}": FIELDS_SHAPE,
    "projectName=demo&fieldFilters=[{}]": FIELDS_SHAPE,
    "konduktorJobPrefix=t&filter="
    + quote('{"heartbeat_at":{"$gt":"2026-01-01"}}'): "filtering on heartbeat_at requires projectName",
    "konduktorJobPrefix=t&filter=" + quote('{"summaryMetrics.loss":1}'): "filtering on summaryMetrics.* requires projectName",
}


@pytest.mark.parametrize(("query", "error"), REFUSED.items())
async def test_refusals_in_the_upstream_s_words(caller: Caller, query: str, error: str) -> None:
    """400 with a text."""
    assert await refused(caller, f"list?{query}") == (400, error)


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("limit=0&offset=-1", ["limit", "offset"]),
        ("limit=201&offset=100001&tags=a&tags=b", ["tags", "limit", "offset"]),
        (
            "heartbeatAfter=&heartbeatBefore=2026-06-01T00:00:00%2B00:00&search=a&search=b",
            ["search", "heartbeatAfter", "heartbeatBefore"],
        ),
    ],
)
async def test_the_schema_comes_first(caller: Caller, query: str, paths: list[str]) -> None:
    """Its issues stand in schema order, even without a project."""
    status, issues = await refused(caller, f"list?{query}")
    assert (status, [issue["path"][0] for issue in issues]) == (400, paths)


@pytest.mark.parametrize("query", ["limit=1.5", "offset=0.5", 'filter={"created_at":{"$gt":"tomorrow"}}'])
async def test_what_the_database_cannot_read(caller: Caller, query: str) -> None:
    """500, as upstream."""
    query = quote(query, safe="=")
    assert await refused(caller, f"list?projectName=demo&{query}") == (500, "Internal Server Error")


async def test_a_filter_nested_deeper_than_can_be_read(caller: Caller) -> None:
    """500: whatever the upstream says to it, the stand-in goes on.

    How deep JSON may be nested to be read is another depth in each release of Python; how deep calls may be is not.
    """
    depth = 1_200
    nested = '{"$not":' * depth + "{}" + "}" * depth
    assert (await refused(caller, f"list?projectName=demo&filter={nested}"))[0] == 500
    assert await listed(caller, "projectName=demo") == [4, 3, 2, 1]


async def test_a_filter_follows_the_status(caller: Caller) -> None:
    """What a test changes is found at once."""
    assert await listed(caller, "projectName=demo&status=RUNNING") == [4, 1]
    await caller.control("POST", "runs", {"id": 3, "status": "RUNNING", "source": "resume"})
    assert await listed(caller, "projectName=demo&status=RUNNING") == [4, 3, 1]


async def test_fields_are_shown_on_request(caller: Caller) -> None:
    """Flat, numbers as numbers; any text but an empty one asks for them, `false` too."""
    shown = (await read(caller, "list?projectName=demo&limit=1&includeFieldValues=false"))["runs"][0]
    assert shown["_flatConfig"] == {"lr": 0.4, "opt.name": "Lion", "seed": "007", "when": None}
    assert shown["_flatSystemMetadata"] == {"konduktor.job_name": "train-0-4"}
    columns = quote('[{"source":"config","key":"lr"},{"source":"x","key":"lr"},{"source":"config"},7]')
    some = (await read(caller, f"list?projectName=demo&limit=1&includeFieldValues=1&visibleColumns={columns}"))["runs"][0]
    assert (some["_flatConfig"], some["_flatSystemMetadata"]) == ({"lr": 0.4}, {})
    whole = (await read(caller, "list?projectName=demo&limit=1&includeFieldValues=1&visibleColumns={"))["runs"][0]
    assert whole == shown
    none = (await read(caller, "list?projectName=demo&limit=1&includeFieldValues="))["runs"][0]
    assert "_flatConfig" not in none


async def test_filters_by_field(caller: Caller) -> None:
    """All terms must fit; where none does, the status isn't even read."""
    term = {"source": "config", "key": "lr", "dataType": "number", "operator": "is between", "values": [0.2, "0.3"]}
    assert await listed(caller, f"projectName=demo&fieldFilters={quote(json.dumps([term]))}") == [3, 2]
    terms = quote(json.dumps([term, term | {"operator": "is not between"}]))
    assert await listed(caller, f"projectName=demo&status=nonsense&fieldFilters={terms}") == []
    assert await listed(caller, "projectName=demo&fieldFilters=[]") == [4, 3, 2, 1]
