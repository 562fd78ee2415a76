"""Each misbehaviour is what a real client meets."""

import asyncio
import gzip
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from proxy.standin import Fault, FaultKind, Row, Standin
from proxy.standin.faults import Faults

from .support import KEY, Caller, Clock

QUERY = "runId=1&projectName=demo"
VALIDATE = "/api/runs/auth/validate"


async def calls_in_flight(standin: Standin, number: int) -> None:
    """Wait until so many calls are being served."""
    async with asyncio.timeout(5):
        await standin.counters.reached(lambda counters: counters.in_flight == number)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_an_error_strikes_as_often_as_planned(caller: Caller, status: int) -> None:
    """The next two calls fail, without Retry-After unless asked for; then all is well."""
    planned = caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=status, times=2))
    replies = [await caller.ask(QUERY) for _ in range(3)]
    assert [reply.status for reply in replies] == [status, status, 200]
    assert "Retry-After" not in replies[0].headers
    assert (planned.hits, planned.remaining) == (2, 0)


async def test_retry_after_in_seconds(caller: Caller) -> None:
    """A whole number stays one."""
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=7))
    assert (await caller.ask(QUERY)).headers["Retry-After"] == "7"


async def test_retry_after_as_a_date(caller: Caller, clock: Clock) -> None:
    """It is reckoned from the answer's own Date, which is the injected clock's."""
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=503, retry_after_s=90, retry_after_as_date=True))
    reply = await caller.ask(QUERY)
    date, retry = (parsedate_to_datetime(reply.headers[name]) for name in ("Date", "Retry-After"))
    assert (date.timestamp(), (retry - date).total_seconds()) == (clock.now_s, 90)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_firewall_s_page(caller: Caller, status: int) -> None:
    """HTML instead of JSON, without the application's headers."""
    caller.standin.faults.add(Fault(kind=FaultKind.HTML, status=status))
    reply = await caller.ask(QUERY)
    assert reply.status == status
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.body.startswith(b"<!DOCTYPE html>")
    assert "Set-Cookie" not in reply.headers


async def test_latency_for_good_beside_an_error(caller: Caller, clock: Clock) -> None:
    """What only holds a call and what answers it are taken from the plan apart."""
    started_s = clock.now_s
    caller.standin.faults.add(Fault(delay_s=1.5, times=None))
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=503))
    assert [(await caller.ask(QUERY)).status for _ in range(2)] == [503, 200]
    assert clock.now_s - started_s == 3


@pytest.mark.parametrize(("late", "rows"), [(False, 11), (True, 10)])
async def test_a_gate_holds_an_answer(caller: Caller, late: bool, rows: int) -> None:
    """Rows that come while a call is held are in its answer, unless the hold is a late one."""
    gate = asyncio.Event()
    caller.standin.faults.add(Fault(gate=gate, late=late))
    asked = asyncio.create_task(caller.ask(QUERY))
    await calls_in_flight(caller.standin, 1)
    caller.standin.rows.insert([Row(run_id=1, log_name="loss", step=99, value=1)])
    assert not asked.done()
    gate.set()
    assert len((await asked).metrics) == rows


async def test_a_hanging_call_ends_with_its_client(caller: Caller) -> None:
    """It is in flight until the client gives up."""
    caller.standin.faults.add(Fault(kind=FaultKind.HANG))
    asked = asyncio.create_task(caller.ask(QUERY))
    await calls_in_flight(caller.standin, 1)
    asked.cancel()
    await calls_in_flight(caller.standin, 0)
    assert caller.standin.counters.calls[-1].status is None


@pytest.mark.parametrize("fault", [Fault(kind=FaultKind.HANG), Fault(gate=asyncio.Event())])
async def test_held_calls_end_with_the_server(fault: Fault) -> None:
    """Shutting down waits for no gate."""
    standin = Standin()
    standin.faults.add(fault)
    async with aiohttp.ClientSession() as session:
        async with standin.serve() as url:
            asked = asyncio.create_task(session.get(f"{url}/api/runs/metrics?{QUERY}", headers=KEY))
            await calls_in_flight(standin, 1)
        (outcome,) = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(outcome, aiohttp.ClientError | aiohttp.ClientResponse)
    assert standin.counters.in_flight == 0


async def test_a_connection_cut_before_the_headers(caller: Caller) -> None:
    """No status is ever seen."""
    caller.standin.faults.add(Fault(kind=FaultKind.CUT_HEADERS, times=None))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await caller.ask(QUERY)
    assert not caller.standin.counters.by_status


@pytest.mark.parametrize("after_bytes", [None, 0, 1])
async def test_a_body_cut_midway(caller: Caller, after_bytes: int | None) -> None:
    """200, then a payload without an end."""
    caller.standin.faults.add(Fault(kind=FaultKind.CUT_BODY, after_bytes=after_bytes))
    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.ask(QUERY)
    assert caller.standin.counters.by_status == {200: 1}


async def test_what_is_not_json(caller: Caller) -> None:
    """200 and application/json all the same."""
    caller.standin.faults.add(Fault(kind=FaultKind.NOT_JSON))
    caller.standin.faults.add(Fault(kind=FaultKind.NOT_JSON, body='{"metrics":['))
    replies = [await caller.ask(QUERY) for _ in range(2)]
    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].headers["Content-Type"] == "application/json"
    for reply in replies:
        with pytest.raises(ValueError, match="Expecting"):
            _ = reply.json


async def test_a_wrong_shape(caller: Caller) -> None:
    """JSON, but not an answer."""
    caller.standin.faults.add(Fault(kind=FaultKind.WRONG_SHAPE))
    caller.standin.faults.add(Fault(kind=FaultKind.WRONG_SHAPE, body='{"metrics":[{"foo":1}]}'))
    assert [(await caller.ask(QUERY)).json for _ in range(2)] == [{"runs": []}, {"metrics": [{"foo": 1}]}]


async def test_a_redirect(caller: Caller) -> None:
    """302 by default, to wherever a test wants."""
    caller.standin.faults.add(Fault(kind=FaultKind.REDIRECT, location="http://127.0.0.1:9/login"))
    caller.standin.faults.add(Fault(kind=FaultKind.REDIRECT, status=307))
    first, second = [await caller.ask(QUERY) for _ in range(2)]
    assert (first.status, first.headers["Location"]) == (302, "http://127.0.0.1:9/login")
    assert second.status == 307


async def test_a_huge_body(caller: Caller) -> None:
    """As many bytes as asked for, and well-formed."""
    caller.standin.faults.add(Fault(kind=FaultKind.HUGE, size_bytes=300_000))
    reply = await caller.ask(QUERY, headers=KEY | {"Accept-Encoding": "identity"})
    assert 300_000 <= len(reply.body) < 320_000
    assert [row["step"] for row in reply.metrics] == list(range(len(reply.metrics)))
    assert caller.standin.counters.bytes_sent == len(reply.body)


async def test_gzip_though_nobody_asked(caller: Caller) -> None:
    """The encoding is announced, the body is the true one."""
    caller.standin.faults.add(Fault(kind=FaultKind.GZIP))
    headers = KEY | {"Accept-Encoding": "identity"}
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        reply = await Caller(caller.standin, caller.url, session).ask(QUERY, headers=headers)
    assert reply.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(reply.body) == (await caller.ask(QUERY, headers=headers)).body


async def test_a_plan_is_for_the_metrics_unless_told_otherwise(caller: Caller) -> None:
    """Key checks go on while the metrics fail; a path of `*` is every path."""
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=503, times=None))
    assert (await caller.ask(None, path=VALIDATE)).status == 200
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=502, path="*"))
    assert (await caller.ask(None, path=VALIDATE)).status == 502
    assert (await caller.ask(QUERY)).status == 503


async def test_a_fault_strikes_before_the_key_is_read(caller: Caller) -> None:
    """A firewall stands in front of the application."""
    caller.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429))
    assert (await caller.ask(QUERY, headers={})).status == 429


def test_faults_can_be_aimed() -> None:
    """By the raw query's text, by a predicate; the earlier of two comes first."""
    faults = Faults()
    faults.add(Fault(kind=FaultKind.STATUS, status=501, query_contains="logName=a"))
    faults.add(Fault(kind=FaultKind.STATUS, status=502, path="*", matches=lambda path, query: query.endswith(path)))
    faults.add(Fault(kind=FaultKind.STATUS, status=503, times=None))
    taken = [faults.take("/api/runs/metrics", query).answer for query in ("logName=a", "logName=a", "/api/runs/metrics")]
    assert [fault and fault.status for fault in taken] == [501, 503, 502]
    assert faults.take("/other", "") == faults.take("/other", "logName=a")


def test_a_plan_ends() -> None:
    """One fault may be stopped, or all."""
    faults = Faults()
    stopped = faults.add(Fault(times=None))
    faults.add(Fault(kind=FaultKind.HANG, times=None))
    stopped.stop()
    fate = faults.take("/api/runs/metrics", "")
    assert fate.hold is None
    assert fate.answer is not None
    faults.clear()
    assert faults.take("/api/runs/metrics", "").faults == ()
