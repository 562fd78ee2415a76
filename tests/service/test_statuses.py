"""Which runs have ended: learned with few calls, and never believed of a run that may be running."""

import asyncio
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from proxy.config import KeySource
from proxy.core.question.query import read_query
from proxy.core.question.routes import DETAILS, LIST
from proxy.core.run_status import PAGE_ROWS, Ramp
from proxy.service.lifetimes.known_runs import KnownRuns, RunKey
from proxy.service.statuses import Statuses
from proxy.service.tenancy import Tenant
from proxy.standin import Fault, FaultKind, RunStatus, Standin, StandinConfig
from tests.support.settings import settings
from tests.support.world import ManualClock, World, until, world

LISTS = "/api/runs/list"
RAMP = Ramp(settling_s=300, settling_failed_s=1800, ended_max_s=3600)
HOUR_S = 3600.0


@dataclass(slots=True, kw_only=True)
class Known:
    """A proxy's parts, and what is known of its upstream's runs: 1 is running, 2 ended ten hours ago, both of `demo`."""

    running: World
    statuses: Statuses
    runs: KnownRuns

    @property
    def tenant(self) -> Tenant:
        return self.running.parts.tenancy.current()

    @property
    def standin(self) -> Standin:
        return self.running.standin

    def fresh_s(self, run: int = 2, project: str = "demo") -> float | None:
        return self.runs.known_status(RunKey(self.tenant.namespace, project, str(run)), stood_s=lambda: math.inf).fresh_s

    def changes(self, run: int) -> int:
        """How often what is known of a run's status has changed."""
        return self.runs.known_status(RunKey(self.tenant.namespace, "demo", str(run)), stood_s=lambda: math.inf).changes

    async def learn(self, run: int = 2, project: str = "demo") -> float | None:
        async with asyncio.timeout(10):
            await self.statuses.learn(self.tenant, str(run), project)
        return self.fresh_s(run, project)

    async def later(self, seconds: float, run: int = 2) -> float | None:
        """Let time pass, and learn."""
        self.running.advance(seconds)
        return await self.learn(run)

    def move(self, status: str, run: int = 2) -> None:
        self.standin.catalogue.change(run, status=RunStatus(status))

    def fault(self, kind: FaultKind, path: str, **fields: object) -> None:
        self.standin.faults.add(Fault(kind=kind, path=path, **fields))  # type: ignore[arg-type]  # the fields of Fault

    def say(self, run: int = 2, **fields: object) -> None:
        """Let a run's details say something else from now on."""
        usual = {"id": run, "name": "r", "status": "COMPLETED", "projectName": "demo", "logNames": []}
        self.fault(FaultKind.WRONG_SHAPE, details(run), times=None, status=200, body=json.dumps(usual | fields))

    @property
    def asked(self) -> tuple[int, int]:
        """How many lists and details the upstream was asked for."""
        calls = self.standin.counters.by_path
        return calls[LISTS], sum(count for path, count in calls.items() if path.startswith("/api/runs/details/"))


def details(run: int) -> str:
    return f"/api/runs/details/{run}"


@asynccontextmanager
async def knowing(folder: Path, *, key: KeySource | None = None, list_s: float = 5) -> AsyncIterator[Known]:
    clock = ManualClock()
    standin = Standin(StandinConfig(), clock=clock.now_s)
    for run in (1, 2):
        standin.catalogue.add(run, created_at_s=clock.now_s() - 20 * HOUR_S)
    clock.advance(-10 * HOUR_S)
    standin.catalogue.change(2, status=RunStatus.COMPLETED)
    clock.advance(10 * HOUR_S)
    async with world(folder, standin=standin, clock=clock, key=key, lifetimes__list_s=list_s) as running:
        await running.parts.tenancy.settled()
        standin.counters.reset()
        runs = KnownRuns(settings(), clock)
        statuses = Statuses(running.parts.fetching.fetcher, runs, clock)
        known = Known(running=running, statuses=statuses, runs=runs)
        try:
            yield known
        finally:
            await statuses.aclose()


async def test_a_run_that_ended_and_one_that_runs(tmp_path: Path) -> None:
    """One list tells of both; the details are asked of the one that isn't in it."""
    async with knowing(tmp_path) as known:
        assert known.fresh_s() is None
        assert known.asked == (0, 0)
        assert await known.learn(1) is None
        assert known.asked == (1, 0)
        assert await known.learn(2) == HOUR_S
        assert known.asked == (1, 1)
        assert known.statuses.calls == {"list": 1, "details": 1}
        assert known.changes(1) == known.changes(2) == 0


async def test_it_is_asked_as_a_client_would_ask(tmp_path: Path) -> None:
    """The very questions that clients' spellings come to, so that answers are shared."""
    async with knowing(tmp_path) as known:
        await known.learn()
        asked = {call.path + (f"?{call.query}" if call.query else "") for call in known.standin.counters.calls}
        listed = read_query(LIST, f"status=RUNNING&limit={PAGE_ROWS}&projectName=demo&offset=0")
        assert asked == {listed.target, read_query(DETAILS, "", segment="2").target}


async def test_what_is_known_is_not_asked_again(tmp_path: Path) -> None:
    """One list every `status_s` while somebody asks, and the details of a run that stays away once an hour."""
    async with knowing(tmp_path) as known:
        await known.learn()
        assert await known.later(14.9) == HOUR_S
        assert known.asked == (1, 1)
        for _ in range(100):
            assert await known.later(15) == HOUR_S
        assert known.asked == (101, 1)
        for _ in range(140):
            assert await known.later(15) == HOUR_S
        assert known.asked == (241, 2)
        assert known.changes(1) == known.changes(2) == 0


async def test_what_is_known_gets_old(tmp_path: Path) -> None:
    """Twice `status_s` after the last list every run counts as running, until there is another; nothing is asked meanwhile."""
    async with knowing(tmp_path) as known:
        await known.learn()
        known.running.advance(30)
        assert known.fresh_s() == HOUR_S
        known.running.advance(0.1)
        assert known.fresh_s() is None
        assert known.asked == (1, 1)
        assert await known.learn() == HOUR_S
        assert known.asked == (2, 1)


async def test_after_a_while_unwatched_the_details_are_asked_again(tmp_path: Path) -> None:
    """Resumed and ended again where no list could see it: its rows may be settling."""
    async with knowing(tmp_path) as known:
        assert await known.learn() == HOUR_S
        known.running.advance(100_000)
        known.move("RUNNING")
        known.running.advance(20_000)
        known.move("COMPLETED")
        assert await known.later(60) is None
        assert known.asked == (2, 2)
        assert (known.changes(1), known.changes(2)) == (0, 1)
        for _ in range(30):
            fresh_s = await known.later(15)
        assert fresh_s == 210  # since it settled
        assert known.asked == (32, 2)


async def test_the_ramp(tmp_path: Path) -> None:
    """A run that has just ended lives as a running one until it has settled."""
    async with knowing(tmp_path) as known:
        assert await known.learn(1) is None
        known.move("COMPLETED", 1)
        assert await known.later(20, 1) is None
        assert (known.changes(1), known.changes(2)) == (1, 0)
        for _ in range(14):
            assert await known.later(19, 1) is None
        assert await known.later(19, 1) == 5  # since it settled
        for _ in range(20):
            fresh_s = await known.later(19, 1)
        assert fresh_s == 300
        key = RunKey(known.tenant.namespace, "demo", "1")
        known.runs.note_change(key, known.running.clock.now_s())
        known.runs.note_change(key, known.running.clock.now_s() - 1000)
        assert known.fresh_s(1) is None
        for _ in range(40):
            fresh_s = await known.later(15, 1)
        assert fresh_s == 300
        assert known.asked[1] == 1


async def test_wrongly_failed(tmp_path: Path) -> None:
    """FAILED takes longer to settle; that it runs on is noticed with the next list, and its end asked for anew."""
    async with knowing(tmp_path) as known:
        known.move("FAILED", 1)
        for _ in range(1799 // 29):
            assert await known.later(29, 1) is None
        assert await known.later(29, 1) == 27  # since it settled
        assert known.asked[1] == 1
        known.move("RUNNING", 1)
        assert known.fresh_s(1) == 27
        assert await known.later(15, 1) is None
        assert (known.changes(1), known.changes(2)) == (1, 0)
        known.move("COMPLETED", 1)
        await known.later(15, 1)
        assert known.asked[1] == 2
        for _ in range(40):
            fresh_s = await known.later(15, 1)
        assert fresh_s == 300
        assert (known.changes(1), known.changes(2)) == (2, 0)


async def test_a_resumed_run_is_live_at_once(tmp_path: Path) -> None:
    """As soon as a list has it, whoever learned that list."""
    async with knowing(tmp_path) as known:
        assert await known.learn(2) == HOUR_S
        known.move("RUNNING", 2)
        await known.later(15, 1)
        assert known.fresh_s(2) is None
        assert (known.changes(1), known.changes(2)) == (0, 1)
        assert known.asked == (2, 1)


async def test_one_end_after_another(tmp_path: Path) -> None:
    """That FAILED became COMPLETED is noticed with the details, and told."""
    async with knowing(tmp_path) as known:
        await known.learn()
        known.move("CANCELLED")
        for _ in range(241):
            fresh_s = await known.later(15)
        assert fresh_s == pytest.approx(361.5)
        assert (known.changes(1), known.changes(2)) == (0, 1)


async def test_the_details_have_the_last_word(tmp_path: Path) -> None:
    """Absent from the list, by its details RUNNING: it is running, and not asked about at every poll."""
    async with knowing(tmp_path) as known:
        known.say(2, status="RUNNING", statusUpdated="2020-01-01T00:00:00Z")
        for _ in range(240):
            assert await known.later(15) is None
        assert known.asked == (240, 8)
        known.standin.faults.clear()
        for _ in range(240):
            fresh_s = await known.later(15)
        # Whatever they say now, they said RUNNING 5280 s ago.
        assert fresh_s == 528
        assert known.asked == (480, 9)


async def test_the_list_lags_behind(tmp_path: Path) -> None:
    """Running by the list: nobody asks on."""
    async with knowing(tmp_path) as known:
        runs = [{"id": run, "name": "r", "status": "RUNNING"} for run in (1, 2)]
        body = json.dumps({"runs": runs, "total": 2})
        known.fault(FaultKind.WRONG_SHAPE, LISTS, times=2, status=200, body=body)
        assert await known.learn() is None
        assert await known.later(15) is None
        assert known.asked == (2, 0)
        # It says that it ended ten hours ago; but it was running a moment ago.
        for _ in range(19):
            assert await known.later(15) is None
        assert known.asked == (21, 1)
        assert await known.later(15) == 0
        assert await known.later(15) == 15


async def test_details_that_others_asked_for(tmp_path: Path) -> None:
    """They count as well: what they say of an end, and that the run was running then."""
    async with knowing(tmp_path) as known:
        parts = known.running.parts
        entry = await parts.reader.read(read_query(DETAILS, "", segment="2"))
        for status, fresh_s in (("COMPLETED", HOUR_S), ("RUNNING", None), ("DREAMING", None)):
            said = replace(entry.entry, body=entry.entry.body.replace(b"COMPLETED", status.encode()))
            known.statuses.note_details(known.tenant, "2", "demo", replace(said, sent_at_s=known.running.clock.now_s()))
            assert await known.learn() == fresh_s


@pytest.mark.parametrize(
    "fields",
    [
        {"projectName": "other"},
        {"id": 1},
        {"status": "DONE"},
        {"statusUpdated": None},
        {"statusUpdated": "2020-01-01 00:00:00"},
        {"statusUpdated": "2099-01-01T00:00:00Z"},
    ],
)
async def test_details_that_prove_nothing(tmp_path: Path, fields: dict[str, object]) -> None:
    """Another project's run, another word, no time or one to come."""
    async with knowing(tmp_path) as known:
        known.say(2, **{"statusUpdated": "2020-01-01T00:00:00Z", **fields})
        for _ in range(8):
            assert await known.later(15) is None
        assert known.asked[1] <= 4


async def test_runs_that_are_elsewhere_or_nowhere(tmp_path: Path) -> None:
    """A run of another project, an unknown one, an unknown project and none: never ended."""
    async with knowing(tmp_path) as known:
        known.standin.catalogue.add(3, project="other")
        known.move("COMPLETED", 3)
        known.running.advance(100_000)
        assert await known.learn(3, "demo") is None
        assert await known.learn(2, "other") is None
        assert await known.learn(2, "unknown") is None
        assert await known.learn(99, "demo") is None
        assert await known.learn(3, "other") is not None
        # The details of run 3 were a moment old, and of the project asked about. Elsewhere it is asked as if there were none.
        assert known.asked == (3, 4)
        assert await known.learn(2, "") is None
        assert await known.learn(2, "x" * 20_000) is None
        assert known.asked == (3, 4)


@pytest.mark.parametrize("status", [429, 500, 404])
async def test_a_list_that_fails(tmp_path: Path, status: int) -> None:
    """Unknown is running; it isn't asked again for `status_s`, and nothing is raised."""
    async with knowing(tmp_path) as known:
        await known.learn()
        known.fault(FaultKind.STATUS, LISTS, times=2, status=status, retry_after_s=1)
        assert await known.later(15) == HOUR_S
        assert await known.later(14.9) == HOUR_S
        assert await known.learn(1) is None
        assert known.asked == (2, 1)
        assert await known.later(0.2) is None
        assert known.asked == (3, 1)
        assert await known.later(15) == HOUR_S
        assert known.asked == (4, 1)
        assert known.statuses.calls == {"list": 4, "details": 1}


@pytest.mark.parametrize("status", [429, 500, 404])
async def test_details_that_fail(tmp_path: Path, status: int) -> None:
    """As with the list."""
    async with knowing(tmp_path) as known:
        known.fault(FaultKind.STATUS, details(2), status=status, retry_after_s=1)
        assert await known.learn() is None
        assert await known.later(14.9) is None
        assert known.asked == (1, 1)
        assert await known.later(0.2) == HOUR_S
        assert known.asked == (2, 2)


@pytest.mark.parametrize("body", ["[]", '{"runs":[],"total":"0"}', '{"runs":[{"id":1}],"total":1}', "{"])
async def test_a_list_of_another_shape(tmp_path: Path, body: str) -> None:
    """It proves nothing."""
    async with knowing(tmp_path) as known:
        known.fault(FaultKind.WRONG_SHAPE, LISTS, times=None, status=200, body=body)
        assert await known.learn() is None
        assert known.asked == (1, 0)


async def test_a_refused_key(tmp_path: Path) -> None:
    """Nothing is learned with it."""
    async with knowing(tmp_path) as known:
        known.fault(FaultKind.STATUS, LISTS, times=None, status=401)
        for _ in range(3):
            assert await known.later(5) is None
            await known.later(15)
        # What is refused without a call doesn't count as one.
        assert known.asked == (2, 0)
        assert known.statuses.calls == {"list": 2}


def crowd(known: Known, count: int) -> None:
    """Add running runs 1001 to 1000 + count, a second apart."""
    start_s = known.running.clock.now_s() - HOUR_S
    for number in range(1, count + 1):
        known.standin.catalogue.add(1000 + number, created_at_s=start_s + number)


async def test_every_page_counts(tmp_path: Path) -> None:
    """Runs on the second and third page are running, and all of them cost three calls."""
    async with knowing(tmp_path) as known:
        crowd(known, 2 * PAGE_ROWS)
        for run in (1, 1001, 1200, 1201, 1202, 1400):
            assert await known.learn(run) is None
        assert await known.learn(2) == HOUR_S
        assert known.asked == (3, 1)


async def test_an_upstream_that_knows_no_pages(tmp_path: Path) -> None:
    """The first page once more proves nothing about who isn't in it."""
    async with knowing(tmp_path) as known:
        crowd(known, PAGE_ROWS)
        assert await known.learn(2) == HOUR_S
        runs = [{"id": run, "name": "r", "status": "RUNNING"} for run in range(1200, 1000, -1)]
        body = json.dumps({"runs": runs, "total": PAGE_ROWS + 1})
        known.fault(FaultKind.WRONG_SHAPE, LISTS, times=None, status=200, body=body)
        known.move("RUNNING", 2)
        known.move("COMPLETED", 1)
        await known.later(15)
        await known.later(15.1)
        assert known.fresh_s(2) is None
        assert known.asked == (6, 1)


@pytest.mark.parametrize(
    ("ended", "begun"),
    [([1150], []), ([], [5000]), ([1150], [5000]), ([1150], [2]), ([1001], []), ([1001], [2])],
)
async def test_a_list_that_changes_between_pages(tmp_path: Path, ended: list[int], begun: list[int]) -> None:
    """Whether runs end, begin or are resumed meanwhile: one that runs throughout is never taken for ended."""
    async with knowing(tmp_path) as known:
        crowd(known, PAGE_ROWS)
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, LISTS, query_contains="offset=", gate=gate)
        learning = asyncio.create_task(known.learn(1))
        await known.standin.counters.reached(lambda counted: counted.by_path[LISTS] == 2)
        for run in ended:
            known.move("CANCELLED", run)
        for run in begun:
            if run == 2:
                known.move("RUNNING", run)
            else:
                known.standin.catalogue.add(run)
        # Should it be believed to be absent, these details would have the last word, and be wrong.
        known.say(1, statusUpdated="2020-01-01T00:00:00Z")
        gate.set()
        assert await learning is None
        assert known.asked == (2, 0)


async def test_too_many_pages(tmp_path: Path) -> None:
    """More runs than can be listed: nothing is known, at one call each time."""
    async with knowing(tmp_path) as known:
        runs = [{"id": run, "name": "r", "status": "RUNNING"} for run in range(1200, 1000, -1)]
        body = json.dumps({"runs": runs, "total": 10_000})
        known.fault(FaultKind.WRONG_SHAPE, LISTS, times=None, status=200, body=body)
        assert await known.learn() is None
        assert known.asked == (1, 0)


async def test_many_learn_at_once(tmp_path: Path) -> None:
    """One list and one `details` for all of them; who goes away does no harm."""
    async with knowing(tmp_path) as known:
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, LISTS, gate=gate)
        learning = [asyncio.create_task(known.learn(run)) for run in (1, 2) * 50]
        await known.standin.counters.reached(lambda counted: counted.by_path[LISTS] == 1)
        learning[0].cancel()
        learning[1].cancel()
        gate.set()
        assert await asyncio.gather(*learning[2:]) == [None, HOUR_S] * 49
        assert known.asked == (1, 1)
        assert known.statuses.calls == {"list": 1, "details": 1}


async def test_who_goes_away_leaves_something_behind(tmp_path: Path) -> None:
    """What was begun is learned all the same."""
    async with knowing(tmp_path) as known:
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, LISTS, gate=gate)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await known.learn(1)
        gate.set()
        await known.running.settled()
        known.move("COMPLETED", 1)
        assert await known.learn(1) is None
        assert known.asked == (1, 0)


async def test_what_clients_asked_for_serves_as_well(tmp_path: Path) -> None:
    """A list that is stored and fresh isn't asked for again."""
    async with knowing(tmp_path) as known:
        await known.running.get(f"{LISTS}?limit=200&projectName=demo&status=RUNNING")
        known.running.advance(4)
        await known.running.get(details(2))
        assert await known.learn() == HOUR_S
        assert known.asked == (1, 1)
        assert known.statuses.calls.total() == 0
        await known.later(11)
        assert known.asked == (2, 1)


async def test_what_clients_asked_for_long_ago_does_not(tmp_path: Path) -> None:
    """However long a list may live: what is known is to be good for a while."""
    async with knowing(tmp_path, list_s=100) as known:
        await known.running.get(f"{LISTS}?limit=200&projectName=demo&status=RUNNING")
        known.running.advance(7)
        known.move("COMPLETED", 1)
        await known.learn(1)
        assert known.asked == (1, 0)
        known.running.advance(8)
        await known.learn(1)
        assert known.asked == (2, 1)


async def test_a_list_is_as_old_as_its_first_page(tmp_path: Path) -> None:
    """What has happened since is not in it."""
    async with knowing(tmp_path) as known:
        crowd(known, PAGE_ROWS)
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, LISTS, gate=gate)
        learning = asyncio.create_task(known.learn())
        await known.standin.counters.reached(lambda counted: counted.by_path[LISTS] == 1)
        known.running.advance(20)
        gate.set()
        assert await learning == HOUR_S
        known.running.advance(10.1)
        assert known.fresh_s() is None


async def test_a_cooldown(tmp_path: Path) -> None:
    """Whoever can wait that long learns when it is over; whoever can't goes away, and nothing is asked meanwhile."""
    async with knowing(tmp_path) as known:
        known.fault(FaultKind.STATUS, LISTS, status=429, retry_after_s=60)
        assert await known.learn() is None
        known.running.advance(20)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await known.learn()
        learning = asyncio.create_task(known.learn())
        await asyncio.sleep(0)
        assert known.asked == (1, 0)
        known.running.advance(40.1)
        assert await learning == HOUR_S
        assert known.asked == (2, 1)


async def test_somebody_urgent_waits_no_longer_than_that(tmp_path: Path) -> None:
    """A call that is begun for somebody with nothing in hand is given up where it would come too late."""
    async with knowing(tmp_path) as known:
        known.fault(FaultKind.STATUS, LISTS, status=429, retry_after_s=60)
        await known.learn()
        known.running.advance(20)
        deadline_s = known.running.clock.monotonic_s() + 1
        async with asyncio.timeout(10):
            await known.statuses.learn(known.tenant, "2", "demo", urgent=True, client="c", deadline_s=deadline_s)
        assert known.fresh_s() is None
        assert known.statuses.calls.total() == 1


async def test_details_older_than_the_list_say_nothing(tmp_path: Path) -> None:
    """They may be from before the run was resumed."""
    async with knowing(tmp_path) as known:
        await known.running.get(details(2))
        known.running.advance(4)
        await known.learn()
        assert known.asked == (1, 2)


async def test_details_that_come_late(tmp_path: Path) -> None:
    """A run that a newer list has isn't ended by older details."""
    async with knowing(tmp_path) as known:
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, details(2), gate=gate, late=True)
        first = asyncio.create_task(known.learn(2))
        await known.standin.counters.reached(lambda counted: counted.by_path[details(2)] == 1)
        known.move("RUNNING", 2)
        assert await known.later(15, 1) is None
        gate.set()
        assert await first is None
        assert known.changes(1) == known.changes(2) == 0


async def test_each_organization_knows_its_own(tmp_path: Path) -> None:
    """Another key's organization learns anew; a rotated key of the same one finds everything."""
    path = tmp_path / "key"
    path.write_text("mlpi_standin_key\n")
    async with knowing(tmp_path, key=KeySource(path=path)) as known:
        assert await known.learn() == HOUR_S
        path.write_text("mlps_standin_rotated\n")
        known.running.advance(5)
        known.running.parts.tenancy.current()
        await known.running.parts.tenancy.settled()
        assert known.fresh_s() == HOUR_S
        path.write_text("mlpi_standin_other\n")
        known.running.advance(5)
        known.running.parts.tenancy.current()
        await known.running.parts.tenancy.settled()
        assert known.fresh_s() is None
        assert await known.learn() is None


async def test_a_key_that_changes_on_the_way(tmp_path: Path) -> None:
    """What is said to another key is nothing that this one's data is known by."""
    path = tmp_path / "key"
    path.write_text("mlpi_standin_key\n")
    async with knowing(tmp_path, key=KeySource(path=path)) as known:
        before = known.tenant
        path.write_text("mlpi_standin_other\n")
        known.running.advance(5)
        await known.statuses.learn(before, "2", "demo")
        assert known.runs.known_status(RunKey(before.namespace, "demo", "2"), stood_s=lambda: math.inf).fresh_s is None
        assert known.asked == (1, 0)


async def test_the_end(tmp_path: Path) -> None:
    """What is under way ends with the proxy; whoever waits is told by cancellation."""
    async with knowing(tmp_path) as known:
        gate = asyncio.Event()
        known.fault(FaultKind.HOLD, LISTS, gate=gate)
        learning = asyncio.create_task(known.learn())
        await known.standin.counters.reached(lambda counted: counted.by_path[LISTS] == 1)
        await known.statuses.aclose()
        with pytest.raises(asyncio.CancelledError):
            await learning
        gate.set()
        await until(gate)
