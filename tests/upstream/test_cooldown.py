"""After a 429 or 503 the upstream is left alone; a refused key is hardly tried.

The deadline is short in here, so that nobody waits for the end of a cool-down; that is in test_budget.
"""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.config import KeySource
from proxy.standin import Fault, FaultKind
from tests.support.world import KEY, METRICS, QUESTION, World, world


def others(count: int) -> list[str]:
    return [f"{QUESTION}&stepMin={number}" for number in range(1, count + 1)]


async def statuses(running: World, targets: list[str]) -> set[int]:
    return {reply.status for reply in await asyncio.gather(*map(running.get, targets))}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after_s", "as_date", "quiet_s"),
    [
        (7, False, 7),
        (7, True, 7),
        (1, False, 1),
        (0, False, 1),
        (-3600, True, 1),
        (2_300_000_000, True, 300),
        (99_999, False, 300),
        (None, False, 5),
    ],
)
async def test_no_call_during_a_cooldown(
    tmp_path: Path, status: int, retry_after_s: float | None, as_date: bool, quiet_s: float
) -> None:
    """Zero calls over 100 other questions until the time has passed, whichever form it was named in; then one probe."""
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        gate = asyncio.Event()
        running.standin.faults.add(
            Fault(kind=FaultKind.STATUS, status=status, retry_after_s=retry_after_s, retry_after_as_date=as_date)
        )
        first = await running.get()
        assert (first.status, first.headers["Retry-After"]) == (503, str(quiet_s))
        running.clock.advance(quiet_s - 0.01)
        assert await statuses(running, others(100)) == {503}
        assert running.metrics_calls == 1
        running.clock.advance(0.02)
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        probe = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 2)
        waiting = asyncio.create_task(statuses(running, others(20)))
        await running.arrived(122)
        assert running.metrics_calls == 2
        gate.set()
        assert (await probe).status == 200
        running.clock.advance(0.1)
        assert await waiting == {200}


async def test_unnamed_cooldowns_double(tmp_path: Path) -> None:
    """Without a readable Retry-After it is 5 s, then 10, 20 and so on up to the most, and 5 again after a good answer."""
    async with world(tmp_path, upstream__deadline_s=0.5, upstream__cooldown_max_s=30) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, times=5))
        for quiet_s in (5, 10, 20, 30, 30):
            assert (await running.get()).headers["Retry-After"] == str(quiet_s)
            running.clock.advance(quiet_s)
        assert (await running.get()).status == 200
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429))
        # And the moment that a token takes at the rate which that many 429s have led to.
        assert (await running.get(others(1)[0])).headers["Retry-After"] in {"5", "6"}


async def test_many_told_at_once_are_one_cooldown(tmp_path: Path) -> None:
    """Twenty calls under way that all get 429 don't double it twenty times; a late success doesn't end it."""
    gate, late = asyncio.Event(), asyncio.Event()
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=late, query_contains="stepMin=20&", times=None))
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=late, query_contains="stepMin=20", times=None))
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, times=None))
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, times=19))
        asking = [asyncio.create_task(running.get(target)) for target in others(20)]
        await running.standin.counters.reached(lambda counted: counted.by_path[METRICS] == 20)
        gate.set()
        replies = await asyncio.gather(*asking[:19])
        assert {reply.headers["Retry-After"] for reply in replies} == {"5"}
        late.set()
        await asking[19]
        assert (await running.get()).status == 503
        running.clock.advance(5)
        assert (await running.get()).status == 200


async def test_a_probe_that_fails_otherwise_cools_again(tmp_path: Path) -> None:
    """A probe that gets 500 begins the next cool-down, of 5 s, doubling; a good one ends it."""
    async with world(tmp_path, upstream__deadline_s=0.5, freshness__negative_s=0) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=2))
        await running.get()
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=2))
        for passed_s, status in ((2, 502), (4.9, 503), (0.2, 502), (9.8, 503), (0.3, 200)):
            running.clock.advance(passed_s)
            assert (await running.get()).status == status, passed_s
        running.clock.advance(0.1)
        assert await statuses(running, others(5)) == {200}


async def test_failures_in_a_row_cool_down_as_well(tmp_path: Path) -> None:
    """Five different questions that fail in a row: the sixth isn't sent. A success in between begins the count anew."""
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=4))
        assert [(await running.get(target)).status for target in others(5)] == [502, 502, 502, 502, 200]
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500, times=None))
        assert [(await running.get(f"{target}0")).status for target in others(7)] == [502] * 5 + [503] * 2
        assert running.metrics_calls == 10


async def test_the_cooldown_is_visible(tmp_path: Path) -> None:
    """In /readyz, which stays ready, and in the metrics."""
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=429, retry_after_s=7))
        await running.get()
        ready = await running.get("/readyz")
        assert ready.status == 200
        assert ready.body == b"ok\npluto-api is left alone for another 7 s\n"
        verbose = (await running.get("/readyz?verbose")).json
        assert verbose["ready"]
        assert verbose["upstream"]["condition"] == "resting"
        assert verbose["upstream"]["state"] == "cooling"
        assert verbose["upstream"]["cooldown_remaining_s"] == 7
        exposition = (await running.get("/metrics")).body.decode()
        assert "pluto_proxy_cooldown_remaining_seconds 7.0" in exposition
        assert "pluto_proxy_cooldowns_total 1.0" in exposition
        assert 'pluto_proxy_upstream_requests_total{status="429"} 1.0' in exposition


@pytest.mark.parametrize("fault", [Fault(kind=FaultKind.STATUS, status=401), Fault(kind=FaultKind.STATUS, status=403)])
async def test_a_refused_key_is_tried_every_30_s(tmp_path: Path, fault: Fault) -> None:
    """Only what is fresh is served, the rest is 502 without a call; one call every 30 s finds out when it works again."""
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        await running.get()
        running.standin.faults.add(fault)
        running.clock.advance(1)
        for target in others(3):
            reply = await running.get(target)
            assert (reply.status, reply.json["code"]) == (502, "key-refused")
            assert "shared key" in reply.json["detail"]
        assert running.metrics_calls == 2
        assert (await running.get()).is_hit
        assert b"refuses the shared key" in (await running.get("/readyz")).body
        assert b"pluto_proxy_key_refused 1.0" in (await running.get("/metrics")).body
        running.clock.advance(29.9)
        assert await statuses(running, [QUESTION, *others(10)]) == {502}
        assert running.metrics_calls == 2
        running.standin.faults.add(fault)
        running.clock.advance(0.2)
        assert await statuses(running, [QUESTION, *others(10)]) == {502}
        assert running.metrics_calls == 3
        running.clock.advance(30)
        assert (await running.get()).status == 200
        assert await statuses(running, others(3)) == {200}
        assert (await running.get("/readyz")).body == b"ok\n"


async def test_a_changed_key_is_tried_at_once(tmp_path: Path) -> None:
    """Renewing the key ends the refusal without waiting for the 30 s."""
    path = tmp_path / "key"
    path.write_text("mlpi_standin_revoked")
    async with world(tmp_path, key=KeySource(path=path)) as running:
        assert (await running.get()).json["code"] == "key-refused"
        path.write_text(KEY)
        assert (await running.get()).status == 200


async def test_a_change_to_what_is_no_key_is_not_tried(tmp_path: Path) -> None:
    """A rotation that put quotation marks around the key: the last good one stays, and the log says what is wrong."""
    path = tmp_path / "key"
    path.write_text(KEY)
    async with world(tmp_path, key=KeySource(path=path)) as running:
        assert (await running.get()).status == 200
        with capture_logs() as logs:
            path.write_text(f'"{KEY}"\n')
            assert {(await running.get(target)).status for target in others(3)} == {200}
        [kept] = [line for line in logs if line["event"] == "key.kept"]
        assert kept["reason"].startswith(f"PLUTO_API_KEY_FILE: {path}: the key has quotation marks around it")
        assert KEY not in str(logs)


async def test_a_firewalls_403_says_nothing_about_the_key(tmp_path: Path) -> None:
    """HTML instead of the upstream's own JSON: the next question is asked as usual."""
    async with world(tmp_path, upstream__deadline_s=0.5) as running:
        running.standin.faults.add(Fault(kind=FaultKind.HTML, status=403))
        assert (await running.get()).json["code"] == "upstream-failed"
        assert (await running.get(others(1)[0])).status == 200


@pytest.mark.parametrize("second", [Fault(kind=FaultKind.HTML, status=403), Fault(kind=FaultKind.REDIRECT)])
async def test_a_firewalls_page_does_not_make_a_refused_key_good(tmp_path: Path, second: Fault) -> None:
    """Only an answer of the upstream's own does: nothing stale is served meanwhile."""
    async with world(tmp_path) as running:
        await running.get()
        running.clock.advance(20)
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=401))
        assert (await running.get()).json["code"] == "key-refused"
        running.clock.advance(31)
        running.standin.faults.add(second)
        await running.get()
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "key-refused")
