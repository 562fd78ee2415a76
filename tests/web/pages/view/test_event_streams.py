"""What ends an event stream, and how many there may be."""

import asyncio
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from yarl import URL

from proxy.service.access import tokens
from proxy.web.pages.view import event_stream
from proxy.web.pages.view.streams import MOST_OF_ONE
from tests.support.event_streams import listening, looked, watching
from tests.support.live_runs import begin, live
from tests.support.tokens import ALL, OURS, ROOT, TEAM, THEIRS, UNKNOWN, bearer, guarded, token, tokens_file, told, write
from tests.support.wire import request
from tests.support.world import METRICS, World, world

LOSS = watching("loss", project="demo")
OUR_LOSS = watching("loss", project="ours", runs=(str(OURS),))


async def closed(running: World) -> None:
    """Wait until no stream is open."""
    async with asyncio.timeout(10):
        while running.parts.web.streams.open:
            await running.get("/livez")


def test_a_revoked_token_is_noticed_within_a_second() -> None:
    """The file is looked at, and then the stream looks."""
    assert tokens.PERIOD_S + event_stream.LOOK_S < 1


@pytest.mark.parametrize("change", ["revoked", "narrowed", "expired"])
async def test_a_stream_ends_with_its_token(tmp_path: Path, change: str) -> None:
    """Whatever the token's end is; those of other tokens go on."""
    async with guarded(tmp_path) as running:
        path, now_s = tokens_file(running), int(running.clock.now_s())
        others = (token("team", projects=["ours", "empty"]), token("root", admin=True))
        write(path, *others, token("all", expires_at_s=now_s + 60))
        running.advance(1)
        async with (
            listening(running.url, OUR_LOSS, **bearer(ALL)) as listener,
            listening(running.url, OUR_LOSS, **bearer(TEAM)) as other,
        ):
            await listener.until("rows")
            await other.next()
            if change == "revoked":
                write(path, *others)
            elif change == "narrowed":
                write(path, *others, token("all", projects=["ours"]))
            running.advance(60 if change == "expired" else tokens.PERIOD_S)
            ended = await listener.until("ended")
            assert ended.data["code"] == "unauthorized"
            assert set(ended.data) == {"code", "title", "detail"}
            await listener.ended()
            assert running.parts.web.streams.open == 1
        await closed(running)


async def test_a_limited_token_watches_its_own(tmp_path: Path) -> None:
    """Another project looks like one that doesn't exist; another project's run in one's own project has no rows."""
    async with guarded(tmp_path) as running:
        theirs = watching("loss", project="theirs", runs=(str(THEIRS),))
        nobodys = watching("loss", project="nobodys", runs=(str(UNKNOWN),))
        refused = await running.get(theirs, **bearer(TEAM))
        assert refused.status == 404
        assert told(refused) == told(await running.get(nobodys, **bearer(TEAM)))
        assert (await running.get(OUR_LOSS)).status == 401
        calls = running.metrics_calls
        seen = []
        for run in (THEIRS, UNKNOWN):
            async with listening(running.url, watching("loss", project="ours", runs=(str(run),)), **bearer(TEAM)) as listener:
                seen.append((await listener.until("rows")).series)
        assert seen[0] == seen[1]
        assert running.metrics_calls == calls + 2
        async with listening(running.url, OUR_LOSS, **bearer(TEAM)) as listener:
            assert (await listener.until("rows")).series["loss"][1] == 4


async def test_calls_count_for_who_watches(tmp_path: Path) -> None:
    """The token whose stream a series is read for is told as the one that caused the call."""
    async with guarded(tmp_path) as running, listening(running.url, OUR_LOSS, **bearer(ALL)) as listener:
        await listener.until("rows")
        used = {one["token"]: one for one in (await running.get("/admin/usage", **bearer(ROOT))).json["tokens"]}
        assert used["all"]["upstream_calls"] == 1


async def test_draining_ends_streams_at_once(tmp_path: Path) -> None:
    """Nobody waits for the end of what has none."""
    async with world(tmp_path) as running:
        async with listening(running.url, LOSS) as listener, listening(running.url, LOSS) as other:
            await listener.until("rows")
            running.parts.web.intake.drain()
            for one in (listener, other):
                assert (await one.until("ended")).data["code"] == "draining"
                await one.ended()
        async with listening(running.url, LOSS) as late:
            await late.until("ended")


async def test_a_client_has_so_many_streams(tmp_path: Path) -> None:
    """One more is refused, and told when to come again; another client isn't concerned, and one that ended makes room."""
    async with guarded(tmp_path) as running, AsyncExitStack() as stack:
        for _ in range(MOST_OF_ONE - 1):
            await (await stack.enter_async_context(listening(running.url, OUR_LOSS, **bearer(ALL)))).next()
        async with listening(running.url, OUR_LOSS, **bearer(ALL)) as last:
            await last.next()
            refused = await running.get(OUR_LOSS, **bearer(ALL))
            assert (refused.status, refused.json["code"]) == (503, "client-limited")
            assert int(refused.headers["Retry-After"]) > 0
            async with listening(running.url, OUR_LOSS, **bearer(TEAM)) as other:
                await other.next()
        async with asyncio.timeout(10):
            while running.parts.web.streams.open == MOST_OF_ONE:
                await running.get("/livez")
        await (await stack.enter_async_context(listening(running.url, OUR_LOSS, **bearer(ALL)))).next()


async def test_all_together_have_so_many_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes then is refused."""
    monkeypatch.setattr("proxy.web.pages.view.streams.MOST", 1)
    async with (
        guarded(tmp_path, access__client_limit_status=429) as running,
        listening(running.url, OUR_LOSS, **bearer(ALL)) as listener,
    ):
        await listener.next()
        assert (await running.get(OUR_LOSS, **bearer(TEAM))).status == 429


async def test_all_together_watch_so_many_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others watch already costs no more; what would be too much is refused in words, and fits once others have gone."""
    monkeypatch.setattr("proxy.web.pages.view.streams.MOST_WATCHED", 2)
    two, others = watching("loss", "acc", project="demo"), watching("loss", "lr", project="demo")
    async with world(tmp_path) as running:
        async with listening(running.url, two) as listener, listening(running.url, two) as same:
            await listener.next()
            await same.next()
            refused = await running.get(others)
            assert (refused.status, refused.json["code"]) == (503, "client-limited")
            assert "would watch 3 series, and 2 is the most" in refused.json["detail"]
            assert int(refused.headers["Retry-After"]) > 0
            async with listening(running.url, LOSS) as part:
                await part.next()
        await closed(running)
        async with listening(running.url, others) as listener:
            await listener.next()


async def test_a_stream_holds_no_place_of_its_client(tmp_path: Path) -> None:
    """With one request at a time, others are answered while a stream is open."""
    async with (
        world(tmp_path, access__client_concurrency=1) as running,
        listening(running.url, LOSS) as listener,
        listening(running.url, LOSS) as other,
    ):
        await listener.until("rows")
        await other.next()
        assert (await running.get(f"{METRICS}?runId=1&projectName=demo&logName=loss&limit=7")).status == 200


async def test_a_client_that_ends_its_side_has_gone(tmp_path: Path) -> None:
    """Nobody waits for a stream to be complete: whoever sends their end is gone, and so is their stream."""
    async with world(tmp_path) as running:
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request(LOSS))
        await reader.readuntil(b"event: rows")
        assert running.parts.web.streams.open == 1
        writer.write_eof()
        await closed(running)
        writer.close()
        # And one that did so before it was answered.
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(request(LOSS))
        writer.write_eof()
        async with asyncio.timeout(10):
            await reader.read()
        await closed(running)
        writer.close()


async def test_a_client_that_does_not_read_is_ended(tmp_path: Path) -> None:
    """What waits for it is a state of each series at most, and after the idle time it is let go."""
    async with live(tmp_path, server__idle_timeout_s=2) as (running, upstream):
        begin(upstream)
        url = URL(running.url)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect((url.host, url.port))
        deaf.setblocking(False)
        names = [f"{'x' * 200}{number}" for number in range(60)]
        deaf.send(request(watching("loss", *names)))
        async with asyncio.timeout(60):
            while not running.parts.web.streams.open:
                await running.get("/livez")
            for connection in running.parts.web.server.connections:
                if connection.transport is not None:
                    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            step = 100
            while running.parts.web.streams.open:
                # Everything changes at each look: 20 kB that nobody reads.
                for name in names:
                    upstream.log(name, [step])
                step += 1
                await looked(running, seconds=6)
        deaf.close()


async def test_an_idle_stream_stays_open(tmp_path: Path) -> None:
    """What has been read is not unread, however long nothing happens."""
    async with world(tmp_path, server__idle_timeout_s=0.2) as running, listening(running.url, LOSS) as listener:
        await listener.until("rows")
        idle = asyncio.get_running_loop().time() + 0.6
        while asyncio.get_running_loop().time() < idle:
            await running.get("/livez")
        running.advance(15)
        assert (await listener.next()).data == "heartbeat"


async def test_metrics(tmp_path: Path) -> None:
    """Open streams, and what was sent by them."""
    async with world(tmp_path) as running, listening(running.url, LOSS) as listener:
        await listener.until("rows")
        told = (await running.get("/metrics")).body.decode()
        assert "pluto_proxy_event_streams 1.0" in told
        assert 'pluto_proxy_events_sent_total{kind="rows"} 1.0' in told


async def test_listed_origins_may_read(tmp_path: Path) -> None:
    """As answers of the read API."""
    async with (
        world(tmp_path, server__cors_origins="https://charts.example") as running,
        listening(running.url, LOSS, Origin="https://charts.example") as listener,
    ):
        assert listener.response.headers["Access-Control-Allow-Origin"] == "https://charts.example"
