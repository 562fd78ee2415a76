"""Each event that ends a lease, one at a time, at a moment that nothing else marks."""

from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from proxy.core.freshness.purge import Purge
from proxy.core.run_status import Listing, RunEnd, Terminal
from proxy.service.lifetimes.known_runs import RunKey
from proxy.service.tenancy import Organization
from proxy.standin import Row
from proxy.web.shortcut import lease
from proxy.web.shortcut.writing import Outlet
from tests.support.tokens import ALL, ROOT, TEAM, write
from tests.support.tokens import token as made
from tests.support.wire import LARGE, SMALL, Watched, request, watched
from tests.support.world import ManualClock

FOREVER_S = 1e6


async def leased(seen: Watched, raw: bytes) -> None:
    """Have a request answered by its bytes, with nothing under way that could end the lease."""
    for _ in range(4):
        await seen.warm(raw)
        await seen.settled()
    seen.fast.clear()
    await seen.ask(raw)
    assert seen.fast


@pytest.mark.parametrize(
    ("line", "floor_s"), [("Accept: */*", 0), ("Cache-Control: max-age=2", 0), ("Cache-Control: max-age=1", 1.25)]
)
async def test_every_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, floor_s: float) -> None:
    """Were files looked at once in a blue moon, age, ttl, date and the end of it all would still be those of the moment."""
    monkeypatch.setattr(lease, "LONGEST_S", FOREVER_S)
    clock = ManualClock(1_800_000_000.3)
    async with watched(tmp_path, clock=clock, freshness__running_s=5.45, freshness__client_floor_s=floor_s) as seen:
        raw, fast = request(LARGE, line), 0
        await leased(seen, raw)
        for _ in range(90):
            clock.advance(0.07)
            reply, was_fast = await seen.ask(raw)
            ordinary = await seen.ordinary(raw)
            if was_fast:
                fast += 1
                assert reply.exact == ordinary.exact
                assert reply.header("Date") == formatdate(int(clock.now_s()), usegmt=True)
            await seen.settled()
        assert fast > 10


@pytest.mark.parametrize("first", [0, 1], ids=["after the other", "before the other"])
async def test_the_moment_at_which_a_token_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    """A lease doesn't outlive the grant that it answers for, though another token asks the same."""
    monkeypatch.setattr(lease, "LONGEST_S", FOREVER_S)
    path = tmp_path / "tokens.json"
    write(path, made("team", expires_at_s=1_800_000_001), made("all"))
    async with watched(tmp_path, access__tokens_file=path, freshness__running_s=60) as seen:
        mine, others = (request(LARGE, f"Authorization: Bearer {token}") for token in (TEAM, ALL))
        seen.running.clock.advance(0.25)
        for raw in (others, mine) if first == 0 else (mine, others):
            await leased(seen, raw)
        seen.running.clock.advance(0.5)
        assert (await seen.ask(mine))[1]
        seen.running.clock.advance(0.25)
        assert (await seen.ask(mine))[0].status == 401
        assert (await seen.ask(others))[0].status == 200


async def test_files_are_looked_at(tmp_path: Path) -> None:
    """A token that was revoked is refused within a second, though nobody else asks and the lifetime goes on."""
    path = tmp_path / "tokens.json"
    write(path, made("team"), made("all"))
    async with watched(tmp_path, access__tokens_file=path, freshness__running_s=59.9) as seen:
        # Its ttl is 59 for 0.9 s: nothing else ends the lease before.
        raw = request(LARGE, f"Authorization: Bearer {TEAM}")
        await leased(seen, raw)
        write(path, made("all"))
        seen.running.clock.advance(0.75)
        assert (await seen.ask(raw))[0].status == 401


async def test_what_another_request_has_noticed(tmp_path: Path) -> None:
    """Once anybody's request has shown that a token is gone, its leases end, whatever time they had left."""
    path = tmp_path / "tokens.json"
    write(path, made("team"), made("all"))
    async with watched(tmp_path, access__tokens_file=path, freshness__running_s=60.4) as seen:
        mine = request(LARGE, f"Authorization: Bearer {TEAM}")
        await leased(seen, mine)
        seen.running.clock.advance(0.5)
        await leased(seen, mine)
        write(path, made("all"))
        seen.running.clock.advance(0.2)
        assert (await seen.ask(mine))[1]
        seen.running.parts.tokens._watch._looked_s = -1.0
        # It is no request that a lease could answer.
        assert (await seen.ordinary(request("/nowhere", f"Authorization: Bearer {ALL}"))).status == 404
        assert (await seen.ask(mine))[0].status == 401


async def test_a_purge(tmp_path: Path) -> None:
    """What was purged is not handed out once more, not even in the same moment."""
    async with watched(tmp_path, freshness__running_s=3_600) as seen:
        await leased(seen, request())
        await seen.running.parts.purging.purge(Purge(at_s=seen.running.clock.now_s(), run="1"))
        reply, was_fast = await seen.ask(request())
        assert (reply.is_hit, was_fast) == (False, False)


def lists(seen: Watched) -> None:
    known, key = seen.running.parts.lifetimes._known, key_of(seen)
    listing = Listing()
    listing._full = True
    known.note_list(key._replace(run=None), listing, seen.running.clock.now_s())


def key_of(seen: Watched) -> RunKey:
    return RunKey(seen.running.parts.tenancy.current().namespace, "demo", "1")


def ends(seen: Watched) -> None:
    now_s = seen.running.clock.now_s()
    end = RunEnd(status=Terminal.COMPLETED, at_s=now_s - 40_000, written_s=now_s - 40_000)
    seen.running.parts.lifetimes._known.note_details(key_of(seen), end, now_s)


def changes(seen: Watched) -> None:
    seen.running.parts.lifetimes._known.note_change(key_of(seen), seen.running.clock.now_s())


def stands_still(seen: Watched) -> None:
    values = {"runId": "1", "projectName": "demo", "logName": "loss"}
    now_s = seen.running.clock.now_s()
    for confirms in (False, True):
        seen.running.parts.lifetimes._sightings.note(key_of(seen).owner, values, now_s - 30_000, confirms=confirms)


STATUS: dict[str, Callable[[Watched], None]] = {
    "a list": lists,
    "details": ends,
    "rows that changed": changes,
    "rows that stood still": stands_still,
}


@pytest.mark.parametrize("event", STATUS)
async def test_what_is_learned_of_a_run(tmp_path: Path, event: str) -> None:
    """What decides about lifetimes is in the next answer: every lease is judged anew."""
    async with watched(tmp_path, freshness__running_s=3_600) as seen:
        await leased(seen, request())
        before = seen.running.parts.web.leases._generation.number
        STATUS[event](seen)
        assert seen.running.parts.web.leases._generation.number > before
        reply, _ = await seen.ask(request())
        assert reply.exact == (await seen.ordinary(request())).exact


async def test_a_generation_ends_leases(tmp_path: Path) -> None:
    """In another generation the same answer is judged anew, though it has time left."""
    async with watched(tmp_path, freshness__running_s=3_600) as seen:
        await leased(seen, request())
        [one] = seen.running.parts.web.leases._table.leases.values()
        before = one.generation
        seen.running.parts.web.leases._generation.end()
        assert (await seen.ask(request()))[1]
        assert one.generation == before + 1


async def test_whose_key_it_is(tmp_path: Path) -> None:
    """Another key, and another place for what is stored for it, begin another generation."""
    async with watched(tmp_path) as seen:
        tenancy, generation = seen.running.parts.tenancy, seen.running.parts.web.leases._generation
        before = generation.number
        await tenancy._adopt(tenancy.current(), Organization(id="another"))
        assert generation.number > before
        before = generation.number
        tenancy._take_up("another")
        assert generation.number > before


async def test_ids_never_come_back(tmp_path: Path) -> None:
    """A lease has so many ids; after these it takes others."""
    async with watched(tmp_path, freshness__running_s=3_600) as seen:
        await leased(seen, request(SMALL))
        ids = [(await seen.ask(request(SMALL)))[0].header("X-Request-ID") for _ in range(4_200)]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("fresh_connection", [False, True], ids=["by bytes", "parsed"])
async def test_the_clients_rate(tmp_path: Path, fresh_connection: bool) -> None:
    """It is asked for each request: who has used it up waits, though the answer is ready."""
    settings = {"access__client_rate_per_s": 0.001, "access__client_burst": 20, "upstream__deadline_s": 1}
    async with watched(tmp_path, **settings) as seen:
        await leased(seen, request())
        limits, clock = seen.running.parts.web.limits, seen.running.clock
        while limits.take_at_once("127.0.0.1", clock.monotonic_s()):
            pass
        raw = request(LARGE, "Accept: text/plain") if fresh_connection else request()
        reply, was_fast = await seen.ask(raw)
        assert (reply.status, was_fast) == (503, False)


async def test_who_may_see_what(tmp_path: Path) -> None:
    """Tokens that see other projects have leases of their own."""
    path = tmp_path / "tokens.json"
    write(path, made("team", projects=["demo"]), made("all"), made("root", projects=["elsewhere"]))
    async with watched(tmp_path, access__tokens_file=path) as seen:
        for token in (TEAM, ALL, TEAM):
            await leased(seen, request(LARGE, f"Authorization: Bearer {token}"))
        assert seen.running.parts.web.leases.count == 2
        for _ in range(3):
            reply, was_fast = await seen.ask(request(LARGE, f"Authorization: Bearer {ROOT}"))
            assert (reply.status, was_fast) == (404, False)


async def test_where_bytes_came_from(tmp_path: Path) -> None:
    """What one address asked is remembered for that address: others may be refused."""
    async with watched(tmp_path, freshness__running_s=3_600) as seen:
        wire = await seen.connect(local_addr=("127.0.0.2", 0))
        for _ in range(5):
            await seen.ask(request(), on=wire)
        assert seen.fast
        transport = seen.fast[-1].transport
        assert transport is not None
        leases, outlet = seen.running.parts.web.leases, Outlet(transport, None)
        assert not leases.answer("127.0.0.1", request(), outlet)
        assert leases.answer("127.0.0.2", request(), outlet)


async def test_bytes_are_counted_as_they_were_sent(tmp_path: Path) -> None:
    """What a lease has answered counts with the length of that answer, though another one answers by now."""
    async with watched(tmp_path, freshness__client_floor_s=0) as seen:
        used = seen.running.parts.web.server._accounting._usage
        await leased(seen, request())
        before, sent = used.by_token[""].body_bytes, 0
        for _ in range(3):
            sent += len((await seen.ask(request()))[0].body)
        seen.running.standin.rows.insert([Row(run_id=1, log_name="loss", step=step, value=1) for step in range(2_000, 2_200)])
        seen.running.clock.advance(1)
        # Others ask the same with other bytes, so that the first ones find a lease of the new answer.
        for raw in (request(LARGE, "Cache-Control: no-cache"), *[request(LARGE, "Accept: */*")] * 3, request()):
            sent += len((await seen.ask(raw))[0].body)
            await seen.settled()
        assert used.by_token[""].body_bytes - before == sent
