"""The budget at work: what clients see of it, and what the upstream does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.clock import SystemClock
from proxy.core.budget.line import Priority
from proxy.standin import Fault, FaultKind, Standin, StandinConfig
from proxy.standin.ratelimit import RateLimit
from tests.support.tokens import ALL, OURS, TEAM, bearer, guarded
from tests.support.world import METRICS, QUESTION, Reply, World, world


def others(count: int) -> list[str]:
    return [f"{QUESTION}&stepMin={number}" for number in range(1, count + 1)]


def asking(running: World, targets: list[str], **headers: str) -> list["asyncio.Task[Reply]"]:
    return [asyncio.create_task(running.get(target, **headers)) for target in targets]


async def waiting(running: World, count: int) -> None:
    async with asyncio.timeout(10):
        while len(running.parts.turnstile.budget.line) != count:  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.001)


async def idle(running: World) -> None:
    """Wait until whatever the budget let go has been answered."""
    async with asyncio.timeout(10):
        while running.parts.turnstile.budget.in_flight:  # noqa: ASYNC110 -- no event tells it
            await asyncio.sleep(0.001)
    await asyncio.sleep(0)


@asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """Collect by how many seconds the event loop is late with what is due, as it is on a machine that others use as well."""
    late_s = [0.0]

    async def watch() -> None:
        while True:
            due_s = time.monotonic() + 0.001
            await asyncio.sleep(0.001)
            late_s.append(time.monotonic() - due_s)

    watching = asyncio.create_task(watch())
    try:
        yield late_s
    finally:
        watching.cancel()


async def test_no_client_sees_a_429(tmp_path: Path) -> None:
    """Against a limit that the proxy doesn't know, new questions wait instead of failing: real time, a real rate limit."""
    standin = Standin(StandinConfig())

    def counted_s() -> float:
        """On a busy machine questions come too slowly for any limit: its time begins with what it refuses."""
        return time.monotonic() if standin.counters.by_status[429] else 0.0

    standin.rate_limit = RateLimit(per_s=50, burst=5, monotonic=counted_s)
    async with world(
        tmp_path,
        standin=standin,
        system_clock=SystemClock(),
        upstream__rate_per_s=200,
        upstream__burst=1,
        upstream__cooldown_max_s=1,
    ) as running:
        replies = await asyncio.gather(*asking(running, others(60)))
        assert {reply.status for reply in replies} == {200}
        assert standin.counters.by_status[429] >= 1
        budget = running.parts.turnstile.budget
        assert budget.rate_per_s(running.parts.clock.monotonic_s()) < 200
        assert budget.retries <= budget.calls / 10


async def test_the_rate_is_kept(tmp_path: Path) -> None:
    """Thirty questions at 20 a second with a burst of 5: the upstream sees no more than that in any stretch of time."""
    async with world(
        tmp_path, system_clock=SystemClock(), upstream__rate_per_s=20, upstream__burst=5, upstream__max_concurrency=8
    ) as running:
        await running.parts.tenancy.settled()
        async with lateness() as late_s:
            await asyncio.gather(*asking(running, others(30)))
        times = [call.started_s for call in running.standin.counters.calls if call.path == METRICS]
        # The way over the loopback, and as long as calls that were let go may have waited for the event loop they share.
        slack_s = 0.05 + max(late_s)
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= 5 + 20 * (times[last] - times[first] + slack_s)


async def test_what_will_not_make_it_is_told_at_once_and_honestly(tmp_path: Path) -> None:
    """At one call a second, the questions beyond the deadline get 503 without waiting, with the time that the line takes."""
    async with world(
        tmp_path, upstream__rate_per_s=1, upstream__burst=1, upstream__deadline_s=5, upstream__max_concurrency=1
    ) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, times=None))
        await running.parts.tenancy.settled()
        tasks = asking(running, others(40))
        await waiting(running, 4)
        refused: set[asyncio.Task[Reply]] = set()
        while len(refused) < 30:
            refused |= (await asyncio.wait(set(tasks) - refused, return_when=asyncio.FIRST_COMPLETED, timeout=5))[0]
        for task in refused:
            reply = task.result()
            assert (reply.status, reply.json["code"]) == (503, "upstream-busy")
            assert 5 <= int(reply.headers["Retry-After"]) <= 8
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await waiting(running, 0)
        gate.set()


async def test_nobody_is_sent_too_late_to_be_answered(tmp_path: Path) -> None:
    """Who would get through the line a moment before the deadline is told at once: a call takes its time as well."""
    async with world(
        tmp_path, upstream__rate_per_s=1, upstream__burst=1, upstream__deadline_s=5, upstream__max_concurrency=1
    ) as running:
        gate = asyncio.Event()
        await running.parts.tenancy.settled()
        running.clock.advance(0.05)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, times=None))
        tasks = asking(running, others(4))
        await waiting(running, 4)
        # 4.95 s for its turn, and half a second for the call.
        (late,) = asking(running, others(5)[4:])
        in_line = asyncio.create_task(waiting(running, 5))
        await asyncio.wait([late, in_line], return_when=asyncio.FIRST_COMPLETED)
        assert not in_line.done()
        assert (late.result().status, late.result().json["code"]) == (503, "upstream-busy")
        for task in [*tasks, in_line]:
            task.cancel()
        await asyncio.wait([*tasks, in_line])
        await waiting(running, 0)
        gate.set()


async def test_a_call_that_began_late_is_no_failure_of_the_upstream(tmp_path: Path) -> None:
    """Where the line took most of somebody's deadline, a call cut short by it counts against nobody: 503, not 504."""
    async with world(tmp_path, upstream__deadline_s=2, upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, query_contains="stepMin=1"))
        running.standin.faults.add(Fault(kind=FaultKind.HANG, query_contains="stepMin=2"))
        first, late = asking(running, others(2))
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        await waiting(running, 1)
        running.clock.advance(1.9)
        gate.set()
        assert (await first).status == 200
        reply = await late
        assert (reply.status, reply.json["code"]) == (503, "upstream-busy")
        assert running.metrics_calls == 2
        assert (await running.get(others(2)[1])).status == 200


async def test_who_leaves_leaves_the_line(tmp_path: Path) -> None:
    """A person who disconnects before the call is sent takes it out of the line, unless others wait for it."""
    gate = asyncio.Event()
    async with world(tmp_path, upstream__max_concurrency=1) as running:
        await running.parts.tenancy.settled()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        (held,) = asking(running, [QUESTION])
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 1)
        alone, *shared = asking(running, [others(2)[0], *[others(2)[1]] * 2])
        await running.arrived(4)
        await waiting(running, 2)
        alone.cancel()
        shared[0].cancel()
        await waiting(running, 1)
        gate.set()
        assert (await held).status == 200
        assert (await shared[1]).status == 200
        assert running.metrics_calls == 2
        assert (await running.get(others(2)[0])).status == 200


async def test_after_a_cooldown_one_probe_and_then_the_rate(tmp_path: Path) -> None:
    """However many have come to wait meanwhile and however long it lasted, the upstream sees no burst when it is back."""
    async with world(tmp_path, upstream__rate_per_s=10, upstream__burst=20) as running:
        await running.parts.tenancy.settled()
        running.clock.advance(60)
        budget, gate = running.parts.turnstile.budget, asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=7))
        tasks = asking(running, [QUESTION])
        await running.standin.counters.reached(lambda counted: counted.by_status[429] == 1)
        await waiting(running, 1)
        tasks += asking(running, others(30))
        await waiting(running, 31)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        running.advance(7)
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 2)
        running.advance(2)
        assert len(budget.line) == 30
        gate.set()
        began_s = running.clock.monotonic_s()
        while not all(task.done() for task in tasks):
            await idle(running)
            passed_s = running.clock.monotonic_s() - began_s
            went = running.metrics_calls - 2
            rate = budget.rate_per_s(running.clock.monotonic_s())
            # It was cut to 5 a second by the 429, and has grown a little since.
            assert 5 < rate < 7
            assert min(30, 5 * passed_s) - 1 < went <= 1 + rate * passed_s
            running.advance(0.2)
        assert {task.result().status for task in tasks} == {200}
        assert running.metrics_calls == 32


async def test_stale_copies_wait_in_no_line(tmp_path: Path) -> None:
    """Where a refresh would not come through within `stale_wait_s`, the stale copy is served at once; the refresh stays."""
    gate = asyncio.Event()
    async with world(tmp_path, upstream__max_concurrency=1, upstream__rate_per_s=0.5, upstream__burst=2) as running:
        await running.parts.tenancy.settled()
        await running.get()
        running.clock.advance(30)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        held = asking(running, others(1))
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 2)
        more = asking(running, others(3)[1:])
        await waiting(running, 2)
        reply = await running.get()
        assert "stale: upstream-queue" in reply.cache_status
        await waiting(running, 3)
        running.advance(60)
        gate.set()
        await asyncio.gather(*held, *more)
        running.advance(10)
        await running.settled()
        assert (await running.get()).is_hit
        order = [query for query in running.standin.counters.queries if "runId" in query]
        assert "stepMin" not in order[-1]


async def test_somebody_with_nothing_in_hand_moves_a_refresh_to_the_front(tmp_path: Path) -> None:
    """A refresh that a person comes to need goes as a person's call."""
    gate = asyncio.Event()
    async with world(
        tmp_path, upstream__max_concurrency=1, freshness__stale_if_error_s=20, freshness__stale_wait_s=0
    ) as running:
        await running.parts.tenancy.settled()
        for target in others(2):
            await running.get(target)
        running.clock.advance(15)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        held = asking(running, [QUESTION])
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 3)
        for target in others(2):
            assert "stale" in (await running.get(target)).cache_status
        running.clock.advance(10)
        person = asking(running, [others(2)[1]])
        await running.arrived(6)
        gate.set()
        await asyncio.gather(*held, *person)
        await running.settled()
        order = [query.rpartition("stepMin=")[2] for query in running.standin.counters.queries[-2:]]
        assert order == ["2", "1"]


async def test_transient_failures_are_tried_again_within_a_tenth(tmp_path: Path) -> None:
    """A connection that breaks is tried again where that is a tenth of all calls at most; a 500 is not."""
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.CUT_HEADERS))
        assert (await running.get()).status == 502
        for target in others(12):
            await running.get(target)
        for fault in (Fault(kind=FaultKind.CUT_HEADERS), Fault(kind=FaultKind.STATUS, status=500)):
            running.standin.faults.add(fault)
            reply = await running.get(f"{QUESTION}&stepMax={len(str(fault))}")
            assert reply.status == (200 if fault.kind is FaultKind.CUT_HEADERS else 502)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=502))
        assert (await running.get(f"{QUESTION}&stepMax=7")).status == 502
        budget = running.parts.turnstile.budget
        assert budget.retries == 1 <= budget.calls / 10


async def test_nothing_is_tried_again_after_the_deadline(tmp_path: Path) -> None:
    """A connection that breaks when nobody would wait for a second try any more is told as it is."""
    async with world(tmp_path, upstream__deadline_s=5) as running:
        for target in others(12):
            await running.get(target)
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        running.standin.faults.add(Fault(kind=FaultKind.CUT_HEADERS))
        (late,) = asking(running, [QUESTION])
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 13)
        running.clock.advance(4.9)
        gate.set()
        assert ((await late).status, (await late).json["code"]) == (502, "upstream-failed")
        assert running.metrics_calls == 13


async def test_an_idle_connection_that_was_closed_is_no_failure(tmp_path: Path) -> None:
    """The upstream ends idle connections; the next question finds another, after enough calls for a retry at least."""
    async with world(tmp_path) as running:
        for target in others(12):
            assert (await running.get(target)).status == 200
        assert (await running.get()).status == 200


async def test_the_budget_is_visible(tmp_path: Path) -> None:
    """In /metrics and the verbose /readyz."""
    async with world(tmp_path, upstream__rate_per_s=7, upstream__burst=3) as running:
        await running.parts.tenancy.settled()
        await running.get()
        upstream = (await running.get("/readyz?verbose")).json["upstream"]
        assert upstream["tokens"] == 1
        assert upstream["rate_per_s"] == 7
        assert upstream["waiting"] == {"person": 0, "refresh": 0, "prefetch": 0}
        assert upstream["calls"] == 2
        text = (await running.get("/metrics")).body.decode()
        for line in (
            "pluto_proxy_budget_tokens 1.0",
            "pluto_proxy_budget_rate_per_second 7.0",
            'pluto_proxy_budget_state{state="closed"} 1.0',
            'pluto_proxy_budget_waiting{priority="person"} 0.0',
            'pluto_proxy_budget_wait_seconds_count{priority="person"} 1.0',
            "pluto_proxy_budget_retries_total 0.0",
            "pluto_proxy_budget_calls_total 2.0",
        ):
            assert line in text


async def test_tokens_wait_in_turns(tmp_path: Path) -> None:
    """Who asks much, from however many addresses, doesn't hold up who asks with another token from the same one."""
    settings: dict[str, Any] = {"upstream__max_concurrency": 1, "access__trusted_proxies": "127.0.0.1"}
    async with guarded(tmp_path, **settings) as running:
        gate, asked = asyncio.Event(), list[str]()

        def note(_path: str, query: str) -> bool:
            asked.append(query)
            return True

        fault = Fault(kind=FaultKind.HOLD, gate=gate, times=None, matches=note)
        running.standin.faults.add(fault)
        panel = f"{METRICS}?runId={OURS}&projectName=ours&logName=loss&stepMin={{}}"
        asking = []
        for number in range(1, 8):
            name = TEAM if number == 7 else ALL
            headers = {"X_Forwarded_For": f"10.0.0.{number % 6}", **bearer(name)}
            asking.append(asyncio.create_task(running.get(panel.format(number), **headers)))
            await running.arrived(number)
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        async with asyncio.timeout(10):
            while running.parts.turnstile.budget.line.waiting(Priority.PERSON) < 6:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0.001)
        gate.set()
        assert {(await reply).status for reply in asking} == {200}
        assert "stepMin=7" in asked[1] + asked[2]
