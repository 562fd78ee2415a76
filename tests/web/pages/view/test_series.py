"""`/view/series` as HTTP: its query, its forms, and who may ask it."""

import asyncio
import csv
import gzip
import io
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import proxy.web.pages.view.series as series_page
from proxy.slices import in_slices
from tests.support.oracle_upstream import HeldUpstream, proxied, row, series_world
from tests.support.tokens import ALL, OURS, TEAM, THEIRS, bearer, guarded, purge, token, tokens_file, write
from tests.support.views import VIEW, seen, series_of
from tests.support.world import METRICS, ManualClock, until, world

LOSS = "/view/series?project=demo&run=1&metric=loss"


def view_of(run: int, project: str) -> str:
    return f"/view/series?project={project}&run={run}&metric=loss"


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("", ["project", "run", "metric"]),
        ("project=p&run=1", ["metric"]),
        ("project=p&project=p&run=1&metric=a", ["project"]),
        ("project=p&run=x&metric=a", ["run"]),
        ("project=p&run=-1&metric=", ["run", "metric"]),
        ("project=p&run=1&metric=a&points=9", ["points"]),
        ("project=p&run=1&metric=a&points=20001", ["points"]),
        ("project=p&run=1&metric=a&points=10&points=10", ["points"]),
        ("project=p&run=1&metric=a&stepMin=-1", ["stepMin"]),
        ("project=p&run=1&metric=a&stepMax=1.5", ["stepMax"]),
        ("project=p&run=1&metric=a&stepMin=5&stepMax=4", ["stepMax"]),
        ("project=p&run=1&metric=a&stepMin=9007199254740992", ["stepMin"]),
        ("project=p&run=1&metric=a&smooth=-1", ["smooth"]),
        ("project=p&run=1&metric=a&smooth=nan", ["smooth"]),
        ("project=p&run=1&metric=a&smooth=inf", ["smooth"]),
        ("project=p&run=1&metric=a&smooth=x&format=xml", ["smooth", "format"]),
        ("project=p&run=1&metric=a&limit=5", ["limit"]),
        ("project=p&metric=a&" + "&".join(f"run={run}" for run in range(201)), ["run"]),
        ("project=p&run=1&run=2&run=3&" + "&".join(f"metric=m{number}" for number in range(134)), [""]),
        ("project=p&run=1&points=20000&" + "&".join(f"metric=m{number}" for number in range(51)), ["points"]),
        ("project=p&run=1&metric=%ff", ["metric"]),
    ],
)
async def test_faults_are_named(tmp_path: Path, query: str, faulty: list[str]) -> None:
    """Unknown parameters, single ones that are given twice, and values out of range; pluto-api is asked nothing."""
    async with world(tmp_path) as running:
        reply = await running.get(f"/view/series?{query}")
        assert (reply.status, reply.json["code"]) == (400, "bad-query")
        assert [fault["parameter"] for fault in reply.json["faults"]] == faulty
        assert running.metrics_calls == 0


async def test_what_is_asked_is_told(tmp_path: Path) -> None:
    """Numbers in any of JavaScript's spellings, as elsewhere; what is asked for twice is told once."""
    async with world(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        reply = await running.get(f"{LOSS}&run=1.0&points=5e1&smooth=2.50&stepMin=0x10")
        assert reply.status == 200
        assert (reply.json["points"], reply.json["smooth"]) == (50, 2.5)
        (told,) = reply.json["series"]
        assert told["columns"]["step"][0] == 0
        assert told["rows"] == 1_484


async def test_its_headers(tmp_path: Path) -> None:
    """It is private, told apart by coding, and a client that has it already gets no body."""
    async with world(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        reply = await running.get(LOSS)
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["Cache-Control"] == "private, no-cache"
        assert "Accept-Encoding" in reply.headers["Vary"]
        tag = reply.headers["ETag"]
        assert tag.startswith('W/"')
        for given in (tag, f'"x", {tag}', tag.removeprefix("W/"), "*"):
            unchanged = await running.get(LOSS, If_None_Match=given)
            assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", tag)
        assert (await running.get(LOSS, If_None_Match='W/"x"')).status == 200
        head = await running.get(LOSS, method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["Content-Length"] == str(len(reply.body))
        assert (await running.get(LOSS, method="POST")).status == 405


@pytest.mark.parametrize("points", [10, 1_000])
async def test_its_codings(tmp_path: Path, points: int) -> None:
    """Small ones at once, large ones in a thread; a client that excludes all of them is told so."""
    async with world(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        plain = await running.get(f"{LOSS}&points={points}")
        packed = await running.get(f"{LOSS}&points={points}", Accept_Encoding="gzip")
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["ETag"] == plain.headers["ETag"]
        refused = await running.get(LOSS, Accept_Encoding="identity;q=0")
        assert refused.status == 406


async def test_as_csv(tmp_path: Path) -> None:
    """A line for each bucket; what a spreadsheet would take for a formula is marked as text, numbers are left as they are."""
    name = '=cmd|"a",b'
    async with series_world(tmp_path) as (running, upstream):
        upstream.put([row(name, 0, value=-1.5), row(name, 1, value=0, valueFlag="NaN"), row("loss", 0, value=2)])
        reply = await running.get(f"{VIEW}&metric={quote(name)}&metric=loss&metric=none&smooth=1&format=csv")
        assert reply.status == 200
        assert reply.headers["Content-Type"].startswith("text/csv")
        assert "attachment" in reply.headers["Content-Disposition"]
        assert reply.body.endswith(b"\r\n")
        lines = list(csv.DictReader(io.StringIO(reply.body.decode(), newline="")))
        columns = "run metric state step time count min max mean first last nan inf neg_inf smoothed"
        assert list(lines[0]) == columns.split()
        assert [(line["metric"], line["step"], line["mean"], line["nan"], line["smoothed"]) for line in lines] == [
            (f"'{name}", "0", "-1.5", "0", "-1.5"),
            (f"'{name}", "1", "", "1", "-1.5"),
            ("loss", "0", "2.0", "0", "2.0"),
        ]
        assert {line["state"] for line in lines} == {"complete"}


@pytest.mark.parametrize("enabled", ["false", "true"])
async def test_whose_projects_it_shows(tmp_path: Path, enabled: str) -> None:
    """A project that a token may not see looks like one that doesn't exist, known here or not, and it is not asked for."""
    async with guarded(tmp_path, series__enabled=enabled, series__shadow_s=0) as running:
        assert (await running.get(view_of(OURS, "ours"))).status == 401
        (told,) = series_of(await running.get(view_of(THEIRS, "theirs"), **bearer(ALL)))
        assert told["rows"] == 5
        calls = running.metrics_calls
        theirs = await running.get(view_of(THEIRS, "theirs"), **bearer(TEAM), X_Request_ID="r")
        none = await running.get(view_of(THEIRS, "nowhere"), **bearer(TEAM), X_Request_ID="r")
        assert theirs.status == 404
        assert theirs.body == none.body
        assert running.metrics_calls == calls
        (told,) = series_of(await running.get(view_of(OURS, "ours"), **bearer(TEAM)))
        assert told["rows"] == 5
        (told,) = series_of(await running.get(view_of(THEIRS, "ours"), **bearer(TEAM)))
        assert (told["state"], told["rows"]) == ("empty", 0)


async def test_a_token_that_is_revoked_meanwhile(tmp_path: Path) -> None:
    """What pluto-api tells after that is not shown."""
    path = tmp_path / "tokens.json"
    write(path, token("team", projects=["p"]), token("all"))
    upstream = HeldUpstream(clock=ManualClock(), holds=lambda path: path.startswith(METRICS))
    upstream.log("loss", range(5))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, access__tokens_file=path) as running:
        viewing = asyncio.create_task(running.get(f"{VIEW}&metric=loss", **bearer(TEAM)))
        await until(upstream.arrived)
        write(tokens_file(running), token("all"))
        running.advance(5)
        upstream.gate.set()
        assert (await viewing).status == 401


async def test_a_token_that_is_revoked_while_it_is_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets nothing any more: what is large takes seconds."""
    path = tmp_path / "tokens"
    upstream = HeldUpstream(clock=ManualClock())
    upstream.log("loss", range(5))
    write(path, token("team", projects=["p"]))
    async with upstream.serve() as url, proxied(tmp_path, upstream, url, access__tokens_file=path) as running:

        async def revoked_meanwhile(work: Any) -> Any:
            body = await in_slices(work)
            write(tokens_file(running), token("all"))
            running.advance(5)
            return body

        monkeypatch.setattr(series_page, "in_slices", revoked_meanwhile)
        assert (await running.get(f"{VIEW}&metric=loss", **bearer(TEAM))).status == 401


async def test_a_purge_while_it_is_laid_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes out was asked for after the purge."""
    async with series_world(tmp_path) as (running, upstream):
        upstream.log("loss", range(10))
        laid_out = asyncio.Event()

        async def purged_meanwhile(work: Any) -> Any:
            body = await in_slices(work)
            if not laid_out.is_set():
                laid_out.set()
                upstream.put([row("loss", 3, value=77)])
                running.advance(1)
                await purge(running, {"metric": "loss"})
                running.advance(1)
            return body

        monkeypatch.setattr(series_page, "in_slices", purged_meanwhile)
        (told,) = await seen(running)
        assert max(told["columns"]["max"]) == 77


async def test_a_client_is_held_to_its_limits(tmp_path: Path) -> None:
    """A view counts as a request of its client."""
    async with world(tmp_path, access__client_rate_per_s=1, access__client_burst=2, upstream__deadline_s=0.3) as running:
        assert [(await running.get(LOSS)).status for _ in range(3)] == [200, 200, 503]


async def test_it_is_described(tmp_path: Path) -> None:
    """With its parameters and their bounds, and in the metrics what it holds in memory."""
    async with world(tmp_path, series__enabled="true", series__shadow_s=0) as running:
        described = (await running.get("/openapi.json")).json["paths"]["/view/series"]["get"]
        parameters = {parameter["name"]: parameter for parameter in described["parameters"]}
        assert set(parameters) == {"project", "run", "metric", "stepMin", "stepMax", "points", "smooth", "format"}
        assert [name for name, one in parameters.items() if one["required"]] == ["project", "run", "metric"]
        assert parameters["points"]["schema"] == {"type": "integer", "minimum": 10, "maximum": 20_000, "default": 1_000}
        assert parameters["run"]["schema"]["type"] == "array"
        assert {"200", "304", "400", "404"} <= set(described["responses"])
        await running.get(f"{LOSS}&points=10")
        exposed = (await running.get("/metrics")).body.decode()
        (held,) = [line for line in exposed.splitlines() if line.startswith("pluto_proxy_view_bytes ")]
        assert float(held.split()[1]) > 1_000
