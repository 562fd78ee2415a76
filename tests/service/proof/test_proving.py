"""Nothing is computed from an answer that isn't proven whole, whatever the upstream silently leaves out."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from proxy.core.budget.budget import CallEnd
from proxy.core.budget.line import Priority
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.proof.limits import Limits
from proxy.core.series.answers import split
from proxy.core.series.extents import Extent
from proxy.core.series.metrics_query import MetricsQuery
from proxy.service.fetching.need import Need
from proxy.service.proof.probed import is_followed
from tests.support.oracle import Asked, Cap, How, Of, permitted
from tests.support.oracle_upstream import OracleUpstream, moment, proxied, row, series_world
from tests.support.world import METRICS, ManualClock, Reply, World

LONG = 1_500
WHOLE, FIRST = f"{METRICS}?runId=1&projectName=p&limit=10000", f"{METRICS}?runId=1&projectName=p&logName=loss&limit=10000"


def target(raw: str) -> str:
    return f"{METRICS}?runId=1&projectName=p&{raw}"


def steps(reply: Reply) -> list[int]:
    assert reply.status == 200
    return [one["step"] for one in msgspec.json.decode(reply.body)["metrics"]]


def put_apart(upstream: OracleUpstream, **lengths: int) -> None:
    """Let there be series of a run that has too many of them to be asked for as a whole."""
    upstream.names_listed = 1_000
    for name, length in lengths.items():
        upstream.put(row(name, step) for step in range(length))


async def look(running: World, *names: str) -> None:
    """Look at series twice, as it takes until they are computed with."""
    for name in names:
        for limit in (10, 11):
            await get(running, f"logName={name}&limit={limit}")


async def get(running: World, raw: str) -> Reply:
    reply = await running.get(target(raw))
    await running.parts.proof.checks.settled()
    return reply


def right(upstream: OracleUpstream, **asked: Any) -> bytes:
    return next(permitted(upstream.rows.values(), Asked(**asked)))


@pytest.mark.parametrize("of", Of)
@pytest.mark.parametrize("how", How)
async def test_a_silent_cap(tmp_path: Path, of: Of, how: How) -> None:
    """Every window of a run that is longer than the upstream's cap is what the upstream itself says to it, however it caps."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(LONG))
        upstream.keep_to(Cap(of=of, how=how, size=1_000))
        for first in (100, 700, 1_400):
            for _ in range(2):
                reply = await get(running, f"logName=loss&stepMin={first}&stepMax={first + 9}")
                assert steps(reply) == list(range(first, first + 10))
            running.advance(31)
        assert running.parts.proof.checks.trusted


@pytest.mark.parametrize("how", How)
async def test_a_series_within_the_cap(tmp_path: Path, how: How) -> None:
    """What the upstream sends whole is computed with, for the price of one small probe."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step, value=step / 7) for step in range(900))
        upstream.keep_to(Cap(of=Of.NAME, how=how, size=1_000))
        await get(running, "logName=loss&limit=10")
        for limit in (11, 12, 13):
            assert (await get(running, f"logName=loss&limit={limit}")).body == right(upstream, limit=limit)
        assert len(upstream.asked) == 3
        assert upstream.asked[1] == FIRST
        assert upstream.asked[2].startswith(target("logName=loss&limit="))


async def test_the_first_look_costs_what_it_always_did(tmp_path: Path) -> None:
    """Who asks once is answered by the upstream's own answer; only a second look is worth a proof."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))
        await get(running, "logName=loss&limit=10")
        assert upstream.asked == [target("logName=loss&limit=10")]


async def test_the_next_runs_are_free(tmp_path: Path) -> None:
    """After a long series was seen, one with less than half of its rows needs no probe, and is computed with at first sight."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, loss=1_900)
        await look(running, "long")
        calls = len(upstream.asked)
        for limit in (10, 11):
            reply = await get(running, f"logName=loss&limit={limit}")
            assert reply.body == right(upstream, name="loss", limit=limit)
        assert upstream.asked[calls:] == ["/api/runs/details/1", FIRST]


async def test_rows_that_come_meanwhile(tmp_path: Path) -> None:
    """A probe that finds more rows brings what is new, instead of taking it for a cap."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))

        def grow() -> None:
            upstream.put([row("loss", len(upstream.rows))])

        await get(running, "logName=loss&limit=10")
        upstream.meanwhile = [grow, grow]
        assert steps(await get(running, "logName=loss&limit=10000")) == list(range(902))
        assert len(upstream.rows) == 902
        assert upstream.asked[3:] == [target("logName=loss&limit=206&stepMin=897")]
        assert (await get(running, "logName=loss&limit=12")).body == right(upstream, limit=12)
        assert len(upstream.asked) == 4


@pytest.mark.parametrize("how", [How.FIRST, How.LAST])
async def test_rows_that_come_to_a_series_that_is_cut(tmp_path: Path, how: How) -> None:
    """What is cut looks as if it had grown, or as if it began later: it isn't taken for whole."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step) for step in range(950))
        upstream.keep_to(Cap(of=Of.NAME, how=how, size=900))
        await look(running, "loss")
        for first in (0, 890, 940):
            reply = await get(running, f"logName=loss&stepMin={first}&stepMax={first + 9}")
            assert steps(reply) == list(range(first, first + 10))


async def test_a_name_that_came_meanwhile(tmp_path: Path) -> None:
    """It is known to be there, and asked for by itself."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row(name, step) for name in "ab" for step in range(100))
        for name in "ab":
            await get(running, f"logName={name}&limit=10")
        running.advance(6)
        upstream.meanwhile = [lambda: upstream.put([row("c", 5), *(row(name, 100) for name in "ab")])]
        await get(running, "limit=11")
        assert (await get(running, "limit=12")).body == right(upstream, limit=12)
        assert (await get(running, "logName=c&limit=12")).body == right(upstream, name="c", limit=12)


async def test_everybody_shares_a_probe(tmp_path: Path) -> None:
    """However many wait for the same answer, also those who come to it while it is proven, one probe serves."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row(name, step) for name in "abcd" for step in range(300))
        await running.get(target("logName=a&limit=10"))
        asked = [f"logName={name}&limit={limit}" for name in "abcd" for limit in range(11, 15)]
        replies = await asyncio.gather(*(running.get(target(raw)) for raw in asked))
        assert {reply.status for reply in replies} == {200}
        assert upstream.asked.count(WHOLE) == 1
        assert sum("limit=2" in path.split("&") or "limit=" in path for path in upstream.asked if "logName" not in path) == 2


@pytest.mark.parametrize("of", Of)
@pytest.mark.parametrize("how", [How.SHARES, How.FIRST])
async def test_a_cap_that_comes_later(tmp_path: Path, of: Of, how: How) -> None:
    """What was taken for whole because more was seen before is confirmed within a minute, and else forgotten."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=3_000, late=1_500)
        await look(running, "long")
        running.advance(20)
        # In the answer that is cut or sampled there are less than half of the rows that were seen before.
        upstream.keep_to(Cap(of=of, how=how, size=600 if of is Of.BYTES else 1_000))
        await look(running, "late")
        assert steps(await get(running, "logName=late&stepMin=1000&stepMax=1009")) != list(range(1_000, 1_010))
        running.advance(26)
        await running.parts.proof.witnesses.settled()
        reply = await get(running, "logName=late&stepMin=1000&stepMax=1009")
        assert steps(reply) == list(range(1_000, 1_010))
        assert running.parts.proof.checks.trusted


async def test_what_was_seen_is_confirmed(tmp_path: Path) -> None:
    """Where the upstream goes on as before, one call a minute confirms everything, of no more rows than that takes."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, short=100)
        await look(running, "long", "short")
        calls = len(upstream.asked)
        running.advance(46)
        await running.parts.proof.witnesses.settled()
        assert upstream.asked[calls:] == [target("logName=long&limit=512")]
        running.advance(100)
        await running.parts.proof.witnesses.settled()
        assert len(upstream.asked) == calls + 1


async def test_a_deleted_run_raises_no_alarm(tmp_path: Path) -> None:
    """Where the witness has gone all is asked for again, and goes on as before."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, short=100)
        await look(running, "long", "short")
        for place in [place for place in upstream.rows if place[0] == "long"]:
            del upstream.rows[place]
        running.advance(46)
        await running.parts.proof.witnesses.settled()
        assert running.parts.proof.checks.trusted
        running.advance(1)
        for limit in (10, 11, 12):
            assert (await get(running, f"logName=short&limit={limit}")).body == right(upstream, name="short", limit=limit)
        assert (await get(running, "logName=short&limit=13")).cache_status.endswith('detail="series"')


async def test_a_shrunken_series_is_not_accepted(tmp_path: Path) -> None:
    """An answer that lacks rows that are known is proven by a probe or not at all."""
    async with series_world(tmp_path, limits=Limits(), series__rewrite_check_s=10) as (running, upstream):
        put_apart(upstream, long=3_000, loss=1_200)
        await look(running, "long", "loss")
        running.advance(11)
        upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
        await get(running, "logName=loss&limit=10")
        assert steps(await get(running, "logName=loss&stepMin=100&stepMax=109")) == list(range(100, 110))


async def test_a_witness_that_cannot_be_asked(tmp_path: Path) -> None:
    """While the upstream fails nothing is forgotten; the witness is asked again as soon as it answers."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, short=100)
        await look(running, "long", "short")
        upstream.failing = True
        for _ in range(3):
            running.advance(46)
            await running.parts.proof.witnesses.settled()
        assert running.parts.shelves.size_bytes
        assert (await running.get(target("logName=short&limit=33"))).status == 200
        upstream.failing = False
        running.advance(301)
        await running.parts.proof.witnesses.settled()
        assert running.parts.shelves.size_bytes


async def test_what_cannot_be_proven_is_tried_less_and_less_often(tmp_path: Path) -> None:
    """Where a cap stays, all of a series that is polled is asked for in vain a few times, and after it is lifted once."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row("loss", step) for step in range(950))
        upstream.keep_to(Cap(of=Of.NAME, how=How.LAST, size=900))
        for _ in range(60):  # five minutes
            await get(running, "logName=loss&limit=10")
            running.advance(5)
        assert upstream.asked.count(FIRST) == 4
        upstream.keep_to(None)
        running.advance(240)
        for _ in range(3):
            await get(running, "logName=loss&limit=10")
            running.advance(5)
        assert upstream.asked.count(FIRST) == 5


async def test_a_witness_that_has_gone(tmp_path: Path) -> None:
    """One that the upstream refuses is not asked again and again: all is forgotten, and asked for again."""

    def refuse(_: Any) -> bytes:
        raise web.HTTPNotFound(text='{"error":"Run not found"}', content_type="application/json")

    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, short=100)
        await look(running, "long", "short")
        upstream.instead = refuse
        calls = len(upstream.asked)
        await pass_by(running, 300)
        assert len(upstream.asked) == calls + 1
        assert not running.parts.shelves.size_bytes
        assert running.parts.proof.checks.trusted


async def test_witnesses_are_let_go_with_what_was_concluded(tmp_path: Path) -> None:
    """While nothing is computed nothing is to be confirmed."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=4_000, short=100)
        await look(running, "long", "short")
        upstream.instead = lambda query: upstream.answer(query).replace(b'":', b'": ')
        calls = len(upstream.asked)
        await pass_by(running, 300)
        assert len(upstream.asked) == calls + 1


async def pass_by(running: World, seconds: int) -> None:
    """Let time pass, and what is looked at every five seconds be looked at."""
    for _ in range(seconds // 5):
        running.advance(5)
        await running.parts.proof.witnesses.settled()


async def test_rows_that_vanish_confirm_nothing(tmp_path: Path) -> None:
    """What was concluded before rows of another series were found missing is found out within a minute all the same."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.names_listed = 1_000
        for name, length in (("long", 3_000), ("late", 1_500), ("loss", 1_200)):
            for step in range(length):
                upstream.rows[name, "", step] = row(name, step, time=moment(10.0 * step))
        upstream.note()
        await look(running, "long", "loss")
        running.advance(20)
        upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
        await look(running, "late")
        assert steps(await get(running, "logName=late&stepMin=1000&stepMax=1009")) != list(range(1_000, 1_010))
        upstream.remove("loss", 1_199)
        running.advance(6)
        await get(running, "logName=loss&limit=10")
        running.advance(30)
        await running.parts.proof.witnesses.settled()
        assert steps(await get(running, "logName=late&stepMin=1000&stepMax=1009")) == list(range(1_000, 1_010))


async def test_a_cap_that_goes_before_it_is_noticed(tmp_path: Path) -> None:
    """What was sampled for a moment, while it was taken to be whole, is found out by the next rows of a live run."""
    async with series_world(tmp_path, limits=Limits(), freshness__stale_while_revalidate_s=0) as (running, upstream):
        upstream.names_listed = 1_000
        for name, length in (("long", 3_000), ("late", 1_500)):
            for step in range(length):
                upstream.rows[name, "", step] = row(name, step, time=moment(5.0 * step))
        upstream.note()
        await look(running, "long")
        running.advance(5)
        upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
        await look(running, "late")
        upstream.keep_to(None)
        running.advance(6)
        await get(running, "logName=late&limit=10")
        assert steps(await get(running, "logName=late&stepMin=1000&stepMax=1009")) == list(range(1_000, 1_010))


async def test_nothing_seen_of_one_upstream_counts_for_another(tmp_path: Path) -> None:
    """After a restart with another URL, or the same, the first long answers are proven by probes again."""
    for _ in range(2):
        async with series_world(tmp_path, limits=Limits()) as (running, upstream):
            put_apart(upstream, long=3_000, loss=1_200)
            upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
            await look(running, "loss")
            assert steps(await get(running, "logName=loss&stepMin=100&stepMax=109")) == list(range(100, 110))


@pytest.mark.parametrize("how", ["joined", "urged"])
async def test_a_proof_goes_first_for_who_has_nothing_in_hand(tmp_path: Path, how: str) -> None:
    """Whoever comes to a proof that only a refresh has needed so far does not stand in the refreshes' line."""
    async with series_world(tmp_path, limits=Limits(), upstream__max_concurrency=1) as (running, upstream):
        upstream.put(row("loss", step) for step in range(900))
        prover, turnstile, tenant = running.parts.proof.prover, running.parts.turnstile, running.parts.tenancy.current()
        question = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)
        refresh = Need(not_before_s=0.0, persist=True, landings=0)
        fetched, _ = await running.parts.fetching.fetcher.fetch(tenant, question.query, refresh)
        extents = await running.parts.proof.splitter.take_apart(fetched, question)
        assert extents is not None
        busy = running.parts.upstream.ticket(Priority.PERSON)
        await turnstile.enter(busy)
        proofs = [asyncio.ensure_future(prover.prove_by_probes(fetched, extents, refresh))]
        await asyncio.sleep(0.01)
        assert [ticket.priority for ticket in turnstile.budget.line] == [Priority.REFRESH]
        if how == "joined":
            proofs.append(asyncio.ensure_future(prover.prove_by_probes(fetched, extents, replace(refresh, urgent=True))))
        else:
            prover.promote(tenant, question, replace(refresh, urgent=True))
        await asyncio.sleep(0.01)
        assert [ticket.priority for ticket in turnstile.budget.line] == [Priority.PERSON]
        turnstile.leave(busy, CallEnd.ANSWERED)
        assert all(await asyncio.gather(*proofs))


@pytest.mark.parametrize(
    ("came", "first", "followed"), [([0, 2, 4, 6, 8, 9], 8, False), ([5, 6, 7, 8, 9], 7, True), ([8, 9], 8, True)]
)
def test_two_rows_in_sequence_show_nothing(came: list[int], first: int, followed: bool) -> None:
    """The last row of a sampled name may be the next one: it takes three, or all there are."""
    question = MetricsQuery(run="1", project="p", name="loss", group=None, limit=10_000, first=0, last=None)

    def extent(steps: list[int], **more: Any) -> Extent:
        rows = [row("loss", step, **more) for step in steps]
        return split(next(permitted(rows, Asked())), question, sent_at_s=0).by_name["loss"]

    end = list(range(first, 12))
    assert is_followed(extent(came), extent(end), first) is followed
    assert not is_followed(extent(came), extent(end, more=1), first)
    assert not is_followed(extent(came), extent(end, value=2), first)


async def test_what_was_concluded_is_confirmed_after_a_restart(tmp_path: Path) -> None:
    """What was taken for whole because of what was seen is on disk; so is that it is still to be confirmed."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            put_apart(upstream, long=3_000, late=1_500)
            await look(running, "long")
            running.advance(20)
            upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
            await look(running, "late")
            running.advance(1)
            await running.flushed()
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            running.advance(1)
            await running.parts.proof.witnesses.settled()
            reply = await get(running, "logName=late&stepMin=1000&stepMax=1009")
            assert steps(reply) == list(range(1_000, 1_010))
            # Once it was told, there is nothing to be told again.
            upstream.keep_to(None)
            calls = len(upstream.asked)
            await running.flushed()
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            running.advance(1)
            await running.parts.proof.witnesses.settled()
            assert len(upstream.asked) == calls


async def test_windows_of_a_long_series_are_proven(tmp_path: Path) -> None:
    """What one answer cannot hold is put together of windows that are proven whole each, or not at all."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        put_apart(upstream, long=12_000)
        await look(running, "long")
        running.advance(61)
        upstream.keep_to(Cap(of=Of.NAME, how=How.SHARES, size=1_000))
        for limit in range(20, 30):
            await get(running, f"logName=long&limit={limit}")
            await running.settled()
        for first in (100, 6_000, 11_000):
            assert steps(await get(running, f"logName=long&stepMin={first}&stepMax={first + 9}")) == list(
                range(first, first + 10)
            )


@pytest.mark.parametrize("kept", [b"no JSON", b'[{"question":{},"size":{}}]'])
async def test_what_was_left_to_be_confirmed_cannot_be_read(tmp_path: Path, kept: bytes) -> None:
    """Then all that was computed with is forgotten: it may lack rows."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url:
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            put_apart(upstream, loss=900)
            await look(running, "loss")
            running.advance(1)
            entry = Entry(body=kept, sent_at_s=upstream.clock.now_s(), digest=digest_of(kept))
            running.parts.store.disk.put(running.parts.tenancy.current().namespace, "witnesses to be asked", entry)
            await running.flushed()
        running.clock.advance(1)
        async with proxied(tmp_path, upstream, url, limits=Limits()) as running:
            calls = len(upstream.asked)
            assert steps(await get(running, "logName=loss&limit=12")) == steps_of(900, 12)
            assert len(upstream.asked) > calls


def steps_of(rows: int, limit: int) -> list[int]:
    every = -(-rows // limit)
    return sorted({*range(0, rows, every), rows - 1})


@pytest.mark.parametrize("of", [Of.ALL, Of.BYTES])
@pytest.mark.parametrize("how", How)
@pytest.mark.parametrize("rows", [7, 60])
async def test_a_whole_run_within_a_cap_on_all_rows(tmp_path: Path, of: Of, how: How, rows: int) -> None:
    """Metrics that a cut answer leaves out aren't taken for empty, nor those for whole that are sampled, as is their probe."""
    async with series_world(tmp_path, limits=Limits()) as (running, upstream):
        upstream.put(row(name, step) for name in "abcd" for step in range(rows))
        upstream.keep_to(Cap(of=of, how=how, size=2 * rows))
        for name in ("a", "b", "c", "d", "a", "c"):
            for first in (0, 3):
                reply = await get(running, f"logName={name}&stepMin={first}&stepMax={first + 3}")
                assert steps(reply) == list(range(first, first + 4))
            running.advance(1)
