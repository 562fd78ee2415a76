"""What was received and sent is counted."""

import asyncio

import aiohttp

from proxy.standin import Fault, FaultKind, Standin, StandinConfig

from .support import KEY, Caller, Clock

QUERY = "runId=1&projectName=demo"


async def test_calls_are_counted(caller: Caller, clock: Clock) -> None:
    """By path, status and raw query; with rows, bytes, times and headers."""
    counters = caller.standin.counters
    caller.session.headers["X-Test"] = "one"
    await caller.ask(QUERY, headers=KEY | {"Accept-Encoding": "identity"})
    clock.now_s += 5
    reply = await caller.ask(QUERY + "&limit=1&logName=lo%73s", headers=KEY | {"Accept-Encoding": "identity"})
    await caller.ask(None, path="/api/runs/auth/validate", headers={})
    assert counters.total == 3
    assert counters.by_path == {"/api/runs/metrics": 2, "/api/runs/auth/validate": 1}
    assert counters.by_status == {200: 2, 401: 1}
    assert counters.queries == [QUERY, QUERY + "&limit=1&logName=lo%73s", ""]
    assert counters.by_query[QUERY] == 1
    assert counters.rows_sent == 12
    assert [call.rows for call in counters.calls] == [10, 2, 0]
    assert counters.calls[1].body_bytes == len(reply.body)
    assert counters.calls[1].started_s - counters.calls[0].started_s == 5
    assert [call.query for call in counters.calls][-1] is None
    assert counters.headers[0]["x-test"] == "one"
    assert counters.headers[0]["authorization"] == KEY["Authorization"]
    assert counters.in_flight == 0


async def test_encoded_bytes_are_what_is_counted(caller: Caller) -> None:
    """A gzipped body counts with the size it has on the wire; a HEAD's has none, and no rows."""
    reply = await caller.ask(QUERY, headers=KEY | {"Accept-Encoding": "gzip"})
    assert 0 < caller.standin.counters.bytes_sent < len(reply.body)
    caller.standin.counters.reset()
    await caller.ask(QUERY, method="HEAD")
    assert (caller.standin.counters.bytes_sent, caller.standin.counters.rows_sent) == (0, 0)


async def test_the_most_calls_at_once(caller: Caller) -> None:
    """Held calls are under way together; a reset starts from those that still are."""
    gate = asyncio.Event()
    caller.standin.faults.add(Fault(gate=gate, times=None))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(caller.ask(QUERY))
        await caller.standin.counters.reached(lambda counters: counters.in_flight == 3)
        gate.set()
    assert caller.standin.counters.max_concurrent == 3
    caller.standin.counters.reset()
    assert caller.standin.counters.max_concurrent == 0
    assert caller.standin.counters.by_fault == {}


async def test_a_rate_limit_counts(clock: Clock) -> None:
    """Beyond the burst comes 429 with Retry-After 2, until tokens are back; faults are not used up by it."""
    standin = Standin(StandinConfig(rate_per_s=2, burst=3), clock=clock, monotonic=clock)
    planned = standin.faults.add(Fault(kind=FaultKind.STATUS, status=503, times=4))
    async with standin.serve() as url, aiohttp.ClientSession() as session:
        caller = Caller(standin, url, session)
        replies = [await caller.ask(QUERY) for _ in range(5)]
        assert [reply.status for reply in replies] == [503, 503, 503, 429, 429]
        assert replies[-1].headers["Retry-After"] == "2"
        assert (await caller.ask(None, path="/api/runs/auth/validate")).status == 200
        clock.now_s += 0.5
        assert [(await caller.ask(QUERY)).status for _ in range(2)] == [503, 429]
        clock.now_s += 3600
        assert [(await caller.ask(QUERY)).status for _ in range(4)] == [200, 200, 200, 429]
    assert planned.remaining == 0
    assert standin.counters.rate_limited == 4
    assert standin.counters.by_status[429] == 4


async def test_a_stand_in_is_steered_over_http(caller: Caller) -> None:
    """Faults, counters and a reset by calls that aren't counted themselves."""
    fault = {"kind": "status", "status": 503, "retry_after_s": 3, "times": 2}
    assert (await caller.control("POST", "faults", fault)).json == {"added": 1}
    assert (await caller.control("POST", "faults", [{"delay_s": 1}, {"kind": "hang"}])).json == {"added": 2}
    assert (await caller.ask(QUERY)).status == 503
    counted = (await caller.control("GET", "counters")).json
    assert (counted["total"], counted["by_status"], counted["by_fault"]) == (1, {"503": 1}, {"hold": 1, "status": 1})
    assert counted["by_query"] == {QUERY: 1}
    assert "mlpi" not in str(counted)
    assert (await caller.control("POST", "reset")).json == {"reset": True}
    assert (await caller.ask(QUERY)).status == 200
    assert caller.standin.counters.total == 1


async def test_bad_control_calls_are_told_so(caller: Caller) -> None:
    """Unknown kinds, fields and names change nothing."""
    for fault in ({"kind": "nonsense"}, {"gate": 1}, {"times": 1, "colour": "red"}, 7):
        assert (await caller.control("POST", "faults", fault)).status == 400
    assert (await caller.control("GET", "nonsense")).status == 404
    assert (await caller.ask(QUERY)).status == 200
