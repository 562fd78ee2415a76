"""Several metrics of several runs at once: what the proxy answers is what pluto-api would, to the byte, for fewer calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from proxy.config import KeySource
from proxy.service.tenancy import VALIDATE_TARGET
from proxy.standin import Fault, FaultKind, KeyOrder, Row, RunStatus, Standin, StandinConfig, sqids
from tests.support.charts import CHARTS, asked, chart, directly
from tests.support.tokens import ALL, TEAM, bearer, guarded, purge
from tests.support.world import KEY, Reply, World, world

LIKE_JSON = ['a"b', "a\\b", 'a\\"', "{}", '"{}":', "a,b", "a\nb"]
HOSTILE = [*LIKE_JSON, "é", "𝄞", "\u2028", " ", "", "7", "07", "4294967295", "constructor"]


def filled(key_order: KeyOrder = KeyOrder.ASKED) -> Standin:
    """Runs of two projects with the same metrics, some with values that aren't finite."""
    standin = Standin(StandinConfig(key_order=key_order))
    for run, project in ((1, "demo"), (2, "demo"), (3, "demo"), (4, "other")):
        for place, name in enumerate(["loss", "train/acc", *HOSTILE]):
            values = [step / 7 + place for step in range(20)]
            values[3:6] = [float("nan"), float("inf"), float("-inf")]
            standin.rows.insert(
                Row(run_id=run, project=project, log_name=name, step=step * run, value=value)
                for step, value in enumerate(values)
            )
    return standin


@asynccontextmanager
async def charts(folder: Path, **settings: Any) -> AsyncIterator[World]:
    async with world(folder, **{"standin": filled(), **settings}) as running:
        await running.parts.tenancy.settled()
        yield running


async def upstream_says(running: World, target: str) -> Reply:
    """Ask the stand-in itself, as a client of pluto-api would."""
    async with running.session.get(running.upstream + directly(target), headers={"Authorization": f"Bearer {KEY}"}) as response:
        return Reply(status=response.status, headers=response.headers, body=await response.read())


def calls(running: World) -> int:
    return running.standin.counters.by_path[CHARTS]


@pytest.mark.parametrize("key_order", KeyOrder)
async def test_one_call_for_every_order(tmp_path: Path, key_order: KeyOrder) -> None:
    """Each order of runs and metrics gets the upstream's own bytes, whether its keys follow the question or not."""
    async with charts(tmp_path, standin=filled(key_order)) as running:
        tags: dict[str, bytes] = {}
        for runs in permutations([1, 2, 3]):
            for names in permutations(["loss", "7", "0", "none", 'a"b']):
                target = chart(runs, names, buckets=10)
                reply = await running.get(target)
                assert reply.body == (await upstream_says(running, target)).body
                assert list(json.loads(reply.body)) == list(reply.json)
                assert tags.setdefault(reply.headers["ETag"], reply.body) == reply.body
        assert calls(running) == 1 + 6 * 120
        # Of the metrics that there are, two are no indices.
        assert len(tags) == (1 if key_order is KeyOrder.OWN else 2 * 6)


@pytest.mark.parametrize("key_order", KeyOrder)
async def test_hostile_names(tmp_path: Path, key_order: KeyOrder) -> None:
    """Names that look like JSON, like indices, or like nothing: cut and joined in the right places."""
    async with charts(tmp_path, standin=filled(key_order)) as running:
        for names in (HOSTILE, HOSTILE[::-1], sorted(HOSTILE), sorted(HOSTILE, reverse=True)):
            target = chart([2, 1], names, stepMin=3, stepMax=30, buckets=10)
            for _ in range(3):
                reply = await running.get(target)
                assert (reply.status, reply.body) == (200, (await upstream_says(running, target)).body)
        for names in (["__proto__"], ["__proto__", "loss"]):
            target = chart([1], names)
            assert (await running.get(target)).body == (await upstream_says(running, target)).body


async def test_what_is_named_twice(tmp_path: Path) -> None:
    """Repetitions and two spellings of a run change the answer upstream, so they are other questions here."""
    async with charts(tmp_path) as running:
        display = running.standin.catalogue.runs("org_demo", "demo")[0].display_id
        short = sqids.encode(1)
        cases: list[tuple[list[int | str], list[str]]] = [
            ([1], ["loss"]),
            ([1, 1], ["loss"]),
            ([1], ["loss", "loss"]),
            ([1, 2, 1], ["loss", "7", "loss"]),
            ([display, short], ["loss"]),
            ([short, display], ["loss"]),
            ([display, display.lower()], ["loss"]),
            ([display.lower(), display], ["loss"]),
            ([display, 2, 3], ["7", "loss"]),
            ([3, display, 2], ["loss", "7"]),
        ]
        for runs, names in cases:
            target = chart(runs, names)
            reply = await running.get(target)
            assert (reply.status, reply.body) == (200, (await upstream_says(running, target)).body), (runs, names)


async def test_spellings_of_one_question(tmp_path: Path) -> None:
    """White space, escapes, the order of fields, numbers, and what the upstream drops: one entry, and a notice."""
    async with charts(tmp_path) as running:
        run = sqids.encode(1)
        texts = [
            f'{{"projectName":"demo","runIds":["{run}"],"logNames":["loss"],"buckets":50}}',
            f' {{ "buckets": 5e1, "logNames":["lo\\u0073s"],\n"runIds":["{run}"],"projectName":"demo"}}',
            f'{{"projectName":"x","projectName":"demo","runIds":["{run}"],"logNames":["loss"],"buckets":50.0}}',
            f'{{"projectName":"demo","runIds":["{run}"],"logNames":["loss"],"buckets":50,"stepMin":5}}',
            f'{{"projectName":"demo","runIds":["{run}"],"logNames":["loss"],"buckets":50,"stepMax":5}}',
            f'{{"organizationId":"org_demo","projectName":"demo","runIds":["{run}"],"logNames":["loss"],"buckets":50}}',
        ]
        for text in texts:
            assert (await running.get(asked(text))).status == 200
        other = await running.get(asked(texts[0][:-1] + ',"preview":true}'))
        assert "input.preview" in other.cache_status
        assert calls(running) == 1


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "required"),
        ("x", "JSON"),
        ("[]", "object"),
        ("{}", "projectName"),
        ('{"projectName":"demo","runIds":[],"logNames":["a"]}', "length"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":[]}', "length"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":"a"}', "array"),
        ('{"projectName":"demo","runIds":[1],"logNames":["a"]}', "str"),
        ('{"projectName":null,"runIds":["a1"],"logNames":["a"]}', "str"),
        ('{"projectName":"demo","runIds":["a 1"],"logNames":["a"]}', "runIds"),
        ('{"projectName":"demo","runIds":["MMP-"],"logNames":["a"]}', "runIds"),
        ('{"projectName":"demo","runIds":["MMP-\u0663"],"logNames":["a"]}', "runIds"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["\\ud800"]}', "surrogate"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["\\u0000"]}', "NUL"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"organizationId":1}', "str"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"buckets":9}', "buckets"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"buckets":20001}', "buckets"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"buckets":10.5}', "buckets"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"buckets":null}', "float"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"stepMin":-1}', "stepMin"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"stepMin":0,"stepMax":1e21}', "stepMax"),
        ('{"projectName":"demo","runIds":["a1"],"logNames":["a"],"x":' + "[" * 2000 + "]" * 2000 + "}", "input"),
    ],
)
async def test_what_the_upstream_would_refuse(tmp_path: Path, text: str, word: str) -> None:
    """A bad query that says what is wrong with it; nothing is asked."""
    async with charts(tmp_path) as running:
        reply = await running.get(asked(text))
        assert (reply.status, reply.json["code"]) == (400, "bad-query")
        assert [fault["parameter"] for fault in reply.json["faults"]] == ["input"]
        assert word in reply.json["detail"]
        assert (await upstream_says(running, asked(text))).status in {400, 500} or "surrogate" in reply.json["detail"]
        assert (await running.get(CHARTS)).json["detail"] == "input: required"
        assert (await running.get(f"{chart([1], ['loss'])}&input=x")).status == 400


async def test_another_organization(tmp_path: Path) -> None:
    """403, as pluto-api says; it isn't asked, which would take that for a refusal of the key."""
    async with charts(tmp_path) as running:
        for organization in ("org_other", "", "ORG_DEMO"):
            reply = await running.get(chart([1], ["loss"], organizationId=organization))
            assert (reply.status, reply.json["code"]) == (403, "wrong-organization")
        assert calls(running) == 0
        for _ in range(3):
            # Remembered or not, by the bytes of a request or not.
            assert (await running.get(chart([1], ["loss"]))).status == 200
            assert (await running.get(chart([1], ["loss"], organizationId="org_other"))).status == 403


async def test_while_the_organization_is_not_known(tmp_path: Path) -> None:
    """It is waited for at the start. Where pluto-api doesn't tell it, a 503 says so, and nothing is guessed."""
    standin, gate = filled(), asyncio.Event()
    standin.faults.add(Fault(kind=FaultKind.HOLD, path=VALIDATE_TARGET, gate=gate))
    async with world(tmp_path, standin=standin) as running:
        waiting = asyncio.create_task(running.get(chart([1], ["loss"])))
        await running.arrived(1)
        gate.set()
        assert (await waiting).status == 200
    standin = filled()
    standin.faults.add(Fault(kind=FaultKind.STATUS, status=404, path=VALIDATE_TARGET, times=None))
    async with world(tmp_path / "other", standin=standin, sleep=asyncio.sleep) as running:
        for organization in ({}, {"organizationId": "org_demo"}):
            reply = await running.get(chart([1], ["loss"], **organization))
            assert (reply.status, reply.json["code"]) == (503, "upstream-busy")
            assert "organization" in reply.json["detail"]
            assert int(reply.headers["Retry-After"]) > 0
        assert calls(running) == 0
        # It is no failure of the upstream.
        assert (await running.get()).status == 200


async def test_a_key_that_changes_while_a_call_waits(tmp_path: Path) -> None:
    """The organization goes with the key that is sent: another one's isn't sent with the organization before."""
    path, gate = tmp_path / "key", asyncio.Event()
    path.write_text(KEY)
    standin = filled()
    async with world(tmp_path, standin=standin, key=KeySource(path=path), upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        standin.faults.add(Fault(kind=FaultKind.HOLD, path="/api/runs/metrics", gate=gate))
        holding = asyncio.create_task(running.get())
        await standin.counters.reached(lambda seen: seen.in_flight == 1)
        waiting = asyncio.create_task(running.get(chart([1], ["loss"])))
        await running.arrived(2)
        path.write_text("mlpi_standin_other")
        running.advance(2)
        running.parts.upstream.key()
        gate.set()
        reply = await waiting
        await holding
        assert (reply.status, reply.json["code"]) == (503, "upstream-busy")
        assert calls(running) == 0
        await running.parts.tenancy.settled()
        # The organization that this key belongs to has no such run.
        assert (await running.get(chart([1], ["loss"]))).body == b"{}"
        assert (await running.get(chart([1], ["loss"], organizationId="org_demo"))).status == 403
        assert (await running.get("/readyz?verbose")).json["upstream"]["condition"] == "open"


async def test_scopes(tmp_path: Path) -> None:
    """Judged by the project in the input. A run of another project gives nothing there."""
    async with guarded(tmp_path) as running:
        mine, both = chart([1], ["loss"], "ours"), chart([1, 2], ["loss"], "ours")
        for _ in range(3):
            assert (await running.get(mine, **bearer(TEAM))).json["loss"][sqids.encode(1)]["counts"] == [1] * 5
            assert list((await running.get(both, **bearer(TEAM))).json["loss"]) == [sqids.encode(1)]
            for name, status in ((TEAM, 404), (ALL, 200)):
                assert (await running.get(chart([2], ["loss"], "theirs"), **bearer(name))).status == status
                assert (await running.get(chart([1], ["loss"], "theirs"), **bearer(name))).status == status
            assert (await running.get(mine)).status == 401
        # What is outside of the input decides nothing.
        assert (await running.get(f"{chart([2], ['loss'], 'theirs')}&projectName=ours", **bearer(TEAM))).status == 404


async def test_purges(tmp_path: Path) -> None:
    """Any run may be meant by an id that isn't its number; another project and other metrics are not."""
    async with charts(tmp_path) as running:
        target = chart([1, 2], ["loss", "7"])
        await running.get(target)
        cases: list[tuple[dict[str, object], bool]] = [
            ({"project": "demo"}, True),
            ({"project": "other"}, False),
            ({"metric": "loss"}, True),
            ({"metric": "acc"}, False),
            ({"run": "1"}, True),
            ({"run": "3"}, True),
            ({"run": "3", "project": "other"}, False),
            ({"everything": True}, True),
        ]
        for what, taken in cases:
            running.advance(0.1)
            before = calls(running)
            await purge(running, what)
            running.advance(0.1)
            for runs in ([1, 2], [2, 1]):
                await running.get(chart(runs, ["loss", "7"]))
            assert calls(running) - before == taken, what


async def test_lifetimes(tmp_path: Path) -> None:
    """As long as a run of it may be running, the route's; else by the run that ended last. A display id tells nothing."""
    async with charts(tmp_path, lifetimes__chart_data_s=15) as running:
        await running.get(chart([1, 2], ["loss"]))
        running.advance(14)
        assert (await running.get(chart([2, 1], ["loss"]))).is_hit
        running.advance(2)
        assert "stale" in (await running.get(chart([2, 1], ["loss"]))).cache_status
        await running.settled()
        # Nothing yet, or fewer series than before: they may be there in a moment.
        assert (await running.get(chart([1], ["none"]))).body == b"{}"
        running.advance(6)
        assert "stale" in (await running.get(chart([1], ["none"]))).cache_status
        running.standin.rows.delete(run_id=2, log_name="loss")
        running.advance(20)
        await running.get(chart([2, 1], ["loss"]))
        await running.settled()
        running.advance(6)
        assert "stale" in (await running.get(chart([2, 1], ["loss"]))).cache_status


async def test_runs_that_have_ended(tmp_path: Path) -> None:
    """Once it is known that all of its runs have ended, an answer lives longer."""
    async with charts(tmp_path, lifetimes__chart_data_s=15) as running:
        for run in (1, 2):
            running.standin.catalogue.change(run, status=RunStatus.COMPLETED, status_updated_s=running.clock.now_s() - 10**7)
        display = running.standin.catalogue.runs("org_demo", "demo")[0].display_id
        ended, live, unknown = (chart(runs, ["loss"]) for runs in ([2, 1], [2, 1, 3], [display]))
        for _ in range(200):
            await learn(running)
            for target in (ended, live, unknown):
                await running.get(target)
            await running.settled()
            running.advance(14)
        before = calls(running)
        for _ in range(10):
            await learn(running)
            running.advance(20)
            assert (await running.get(ended)).is_hit
            assert calls(running) == before
        assert "stale" in (await running.get(live)).cache_status
        assert "stale" in (await running.get(unknown)).cache_status


async def learn(running: World) -> None:
    """Have the proxy learn which runs have ended, as it does where somebody looks at their metrics."""
    for number in ("1", "2", "3"):
        await running.parts.statuses.learn(running.parts.tenancy.current(), number, "demo")


async def test_a_run_that_cannot_be_resolved(tmp_path: Path) -> None:
    """pluto-api answers 500: an error that is told, remembered for a moment, and not held against it."""
    async with charts(tmp_path) as running:
        for number in range(12):
            reply = await running.get(chart([f"DEM-{number + 900}"], ["loss"]))
            assert (reply.status, reply.json["code"]) == (502, "upstream-failed")
        before = calls(running)
        await running.get(chart(["DEM-911"], ["loss"]))
        assert calls(running) == before
        assert (await running.get()).status == 200


async def test_as_any_answer(tmp_path: Path) -> None:
    """HEAD, validators, codings and the fast path, in the order of the question and in another one."""
    async with charts(tmp_path) as running:
        for runs in ([3, 2, 1], [1, 2, 3]):
            target = chart(runs, ["loss", "7"])
            reply = await running.get(target)
            for _ in range(3):
                assert (await running.get(target)).body == reply.body
                head = await running.get(target, method="HEAD")
                assert (head.status, head.body) == (200, b"")
                assert head.headers["ETag"] == reply.headers["ETag"]
                assert (await running.get(target, If_None_Match=reply.headers["ETag"])).status == 304
            packed = await running.get(target, Accept_Encoding="gzip, identity;q=0")
            assert packed.headers["Content-Encoding"] == "gzip"
        assert calls(running) == 1


async def test_long_questions(tmp_path: Path) -> None:
    """What pluto-api would refuse for its length is refused; what it takes gets through with the organization filled in."""
    async with charts(tmp_path) as running:
        statuses = {}
        for characters in range(60, 74):
            names = [f"{number:0{characters}d}" for number in range(200)]
            target = unquote(chart([1], names)).replace('"', "%22").replace(", ", ",").replace(": ", ":")
            statuses[len(target)] = (await running.get(target)).status
        assert statuses == {length: 200 if length <= 15_000 - 3 * 4 else 414 for length in statuses}
        assert set(statuses.values()) == {200, 414}


@pytest.mark.parametrize("key_order", KeyOrder)
async def test_the_fast_path(tmp_path: Path, key_order: KeyOrder) -> None:
    """Polls are answered by it wherever what is stored goes out as it is: in the question's own order, or pluto-api's."""
    async with charts(tmp_path, standin=filled(key_order)) as running:
        for runs, fast in (([3, 2, 1], True), ([1, 2, 3], key_order is KeyOrder.OWN)):
            target = chart(runs, ["loss"])
            bodies = {(await running.get(target)).body for _ in range(3)}
            before = running.parts.web.leases.answered
            bodies |= {(await running.get(target)).body for _ in range(5)}
            assert bodies == {(await upstream_says(running, target)).body}
            assert (running.parts.web.leases.answered - before == 5) is fast
        # What was remembered holds no longer than the answer.
        await purge(running, {"project": "demo"})
        running.advance(1)
        running.standin.rows.insert([Row(run_id=1, log_name="loss", step=99, value=1)])
        assert (await running.get(target)).body == (await upstream_says(running, target)).body


async def test_concurrent_orders_share_a_call(tmp_path: Path) -> None:
    """Clients that ask at once in different orders wait for one call, and each gets its own order."""
    standin, gate = filled(), asyncio.Event()
    async with charts(tmp_path, standin=standin) as running:
        standin.faults.add(Fault(kind=FaultKind.HOLD, path=CHARTS, gate=gate))
        targets = [chart(runs, names) for runs in permutations([1, 2, 3]) for names in permutations(["loss", 'a"b'])]
        waiting = [asyncio.create_task(running.get(target)) for target in targets]
        await running.arrived(len(targets))
        gate.set()
        replies = await asyncio.gather(*waiting)
        assert calls(running) == 1
        for target, reply in zip(targets, replies, strict=True):
            assert reply.body == (await upstream_says(running, target)).body


async def test_large_answers(tmp_path: Path) -> None:
    """A megabyte and more, checked in a thread and put in order in slices: the same bytes."""
    standin = filled()
    standin.rows.insert(Row(run_id=run, log_name="long", step=step, value=step / 3) for run in (1, 2) for step in range(9_000))
    async with charts(tmp_path, standin=standin) as running:
        for runs in ([1, 2], [2, 1]):
            target = chart(runs, ["long", "loss"], buckets=20_000)
            for _ in range(2):
                reply = await running.get(target)
                assert reply.body == (await upstream_says(running, target)).body
                assert len(reply.body) > 2**20
