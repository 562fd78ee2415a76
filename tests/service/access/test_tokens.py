"""Tokens: how they are sent and refused, when they end, and the file that they stand in."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from yarl import URL

from proxy.core.access.grants import BEARER_PREFIX, digest_of_token
from proxy.errors import ConfigError
from proxy.service.access.tokens import PERIOD_S, Tokens, read_token_file
from proxy.standin import Fault, FaultKind
from proxy.store.token_file import edit_tokens
from tests.support.descriptors import no_descriptors
from tests.support.tokens import (
    ALL,
    OURS,
    RUNS,
    TEAM,
    THEIRS,
    ask,
    bearer,
    by_run,
    guarded,
    targets,
    token,
    tokens_file,
    write,
)
from tests.support.wire import Wire
from tests.support.world import METRICS, ManualClock, world


async def test_refused_requests(tmp_path: Path) -> None:
    """401 says what to do in the form that every client knows, and repeats nothing of what was sent."""
    async with guarded(tmp_path) as running:
        for sent, given, word in (
            (None, False, "ppt_"),
            ("Bearer ppt_wrong", True, "revoked"),
            ("Bearer mlpi_secret", True, "key of pluto-api"),
            ("Basic wrong", True, "must be one"),
            ("Bearer wrong wrong", True, "must be one"),
        ):
            headers = {} if sent is None else {"Authorization": sent}
            before = running.standin.counters.total
            reply = await running.get(targets(OURS, "ours")[0], **headers)
            assert (reply.status, reply.json["code"]) == (401, "unauthorized")
            assert word in reply.json["error"]
            assert b"wrong" not in reply.body
            assert b"secret" not in reply.body
            assert reply.headers["WWW-Authenticate"].startswith("Bearer ")
            assert ("invalid_token" in reply.headers["WWW-Authenticate"]) is given
            assert reply.headers["Cache-Control"] == "no-store"
            assert running.standin.counters.total == before


async def test_before_anything_else(tmp_path: Path) -> None:
    """Without a token nothing is told but that the process lives: not which paths, parameters and methods there are."""
    async with guarded(tmp_path) as running:
        for target in ("/metrics", "/readyz?verbose", "/readyz?x", "/openapi.json", "/nothing", f"{METRICS}?limit=0"):
            assert (await running.get(target)).status == 401
            assert (await running.get(target, method="POST")).status == 401
            assert (await running.get(target, **bearer(TEAM))).status != 401
        for target in ("/metrics", "/readyz?verbose"):
            # What they count would tell whether a question had an answer.
            assert (await running.get(target, **bearer(TEAM))).json["code"] == "scope-refused"
            assert (await running.get(target, **bearer(ALL))).status == 200
        document = (await running.get("/openapi.json", **bearer(TEAM))).json
        assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
        assert document["security"] == [{"token": []}]
        operations = {path: operation for path, told in document["paths"].items() for operation in told.values()}
        own = {path: operation["security"] for path, operation in operations.items() if "security" in operation}
        # Probes need none, but for `?verbose`.
        assert own == {"/livez": [], "/api/health": [], "/readyz": [{}, {"token": []}]}
        assert (await running.get(method="POST")).status == 401
        assert (await running.get(method="POST", **bearer(ALL))).status == 405
        assert (await running.get(Host="evil.example.com", **bearer(ALL))).status == 421
        for target in ("/livez", "/readyz", "/livez?x"):
            assert (await running.get(target)).status == 200


async def test_without_access_control(tmp_path: Path) -> None:
    """Where nothing is configured nobody's Authorization is looked at, and answers don't depend on it."""
    async with world(tmp_path) as running:
        for sent in ("Bearer ppt_x", "Bearer mlpi_x", "nonsense"):
            reply = await running.get(Authorization=sent)
            assert reply.status == 200
            assert reply.headers["Vary"] == "Accept-Encoding"
        assert running.parts.web.leases.count == 1
        assert (await running.get("/readyz?verbose")).json["tokens"] is None


@pytest.mark.parametrize("change", ["revoked", "expired"])
@pytest.mark.parametrize("target", [targets(OURS, "ours")[0], by_run(OURS)[0], f"{RUNS}projects"])
async def test_a_token_that_ends(tmp_path: Path, change: str, target: str) -> None:
    """It stops within a second on a connection that stays open, in the middle of hits; others go on."""
    path = tmp_path / "access" / "tokens.json"
    now_s = 1_800_000_000
    ending = token("team", projects=["ours"], expires_at_s=now_s + 10 if change == "expired" else None)
    write(path, ending, token("all"))
    async with guarded(tmp_path, freshness__running_s=60) as running:
        assert running.clock.now_s() == now_s
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        wire = Wire(reader=reader, writer=writer)
        for _ in range(4):
            assert await ask(wire, target, TEAM) == 200
        running.advance(9.75)
        assert await ask(wire, target, TEAM) == 200
        if change == "revoked":
            edit_tokens(path, lambda tokens: [one for one in tokens if one.name != "team"])
            running.advance(1)
        else:
            running.advance(0.25)
        assert await ask(wire, target, TEAM) == 401
        assert await ask(wire, target, ALL) == 200
        if change == "revoked":
            edit_tokens(path, lambda tokens: [*tokens, ending])
            running.advance(1)
            assert await ask(wire, target, TEAM) == 200
        await wire.close()


def test_a_change_while_nothing_can_be_opened(tmp_path: Path) -> None:
    """It holds as soon as the file can be read, though it has not changed since."""
    path, clock = tmp_path / "access" / "tokens.json", ManualClock()
    write(path, token("team"))
    tokens = Tokens(read_token_file(path), clock)
    write(path)
    clock.advance(PERIOD_S)
    with no_descriptors():
        assert tokens.grant(TEAM) is not None
        assert tokens.trouble is not None
    clock.advance(PERIOD_S)
    assert tokens.grant(TEAM) is None
    assert tokens.trouble is None


@pytest.mark.parametrize("change", ["revoked", "narrowed"])
async def test_a_token_that_ends_while_it_waits(tmp_path: Path, change: str) -> None:
    """What pluto-api took long to answer isn't handed to somebody who may not have it any more."""
    async with guarded(tmp_path) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate))
        target = targets(THEIRS, "theirs")[0]
        asking = asyncio.create_task(running.get(target, **bearer(ALL)))
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        left = [] if change == "revoked" else [token("all", projects=["ours"])]
        write(tokens_file(running), *left)
        running.advance(1)
        gate.set()
        reply = await asking
        assert (reply.status, reply.json["code"]) == (401, "unauthorized")


def twice(path: Path) -> None:
    document = json.loads(path.read_text())
    document["tokens"] *= 2
    path.write_text(json.dumps(document))


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def directory_opened(path: Path) -> None:
    # Nothing about the file itself tells it: it is noticed when the file changes.
    os.utime(path, (1, 1))
    path.parent.chmod(0o777)


HOW: dict[str, Callable[[Path], object]] = {
    "vanished": Path.unlink,
    "garbage": lambda path: path.write_text("{"),
    "empty": lambda path: path.write_text(""),
    "another version": lambda path: path.write_text('{"version":2,"tokens":[]}'),
    "an unknown field": lambda path: path.write_text(path.read_text().replace('"admin"', '"readonly": true, "admin"', 1)),
    "a name twice": twice,
    "readable by others": lambda path: path.chmod(0o644),
    "writable by others": lambda path: path.chmod(0o620),
    "a directory": lambda path: replaced(path, Path.mkdir),
    "a pipe": lambda path: replaced(path, os.mkfifo),
    "an open directory": directory_opened,
    "too large": lambda path: path.write_bytes(b" " * (16 * 2**20 + 1)),
}


@pytest.mark.parametrize("how", HOW)
async def test_a_file_that_cannot_be_used(tmp_path: Path, how: str) -> None:
    """While running: the last good set stays, which is told once, and a good file is taken up again. At start: no service."""
    async with guarded(tmp_path) as running:
        path, target = tokens_file(running), targets(OURS, "ours")[0]
        with capture_logs() as logs:
            HOW[how](path)
            for _ in range(3):
                running.advance(1)
                assert (await running.get(target, **bearer(TEAM))).status == 200
                assert (await running.get(target, **bearer("ppt_no"))).status == 401
            assert "token file" in (await running.get("/readyz")).body.decode()
            verbose = await running.get("/readyz?verbose", **bearer(ALL))
            assert str(path) in verbose.json["tokens"] or str(path.parent) in verbose.json["tokens"]
            assert b"pluto_proxy_tokens_healthy 0.0" in (await running.get("/metrics", **bearer(ALL))).body
            with pytest.raises(ConfigError) as caught:
                async with world(tmp_path / "other", access__tokens_file=path):
                    pass
            [fault] = caught.value.faults
            assert fault.startswith("access.tokens_file: ")
            assert ("token add" in fault) is (how == "vanished")
            if how == "an open directory":
                # The file itself is as it was.
                path.parent.chmod(0o700)
                running.advance(1)
                assert "token file" not in (await running.get("/readyz")).body.decode()
                return
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            write(path, token("new"))
            running.advance(1)
            assert (await running.get(target, **bearer(TEAM))).status == 401
            assert (await running.get(target, **bearer(f"{BEARER_PREFIX}new"))).status == 200
            assert "token file" not in (await running.get("/readyz")).body.decode()
        told = [line["event"] for line in logs if line["event"].startswith("tokens.")]
        assert told == ["tokens.kept", "tokens.read"]


async def test_who_asked_is_logged(tmp_path: Path) -> None:
    """By the token's name; neither tokens nor their hashes reach the log."""
    async with guarded(tmp_path) as running:
        with capture_logs() as logs:
            await running.get(targets(OURS, "ours")[0], **bearer(TEAM))
            await running.get(targets(OURS, "ours")[0], **bearer("ppt_unknown"))
        finished = [line for line in logs if line["event"] == "request.finished"]
        assert [line.get("token") for line in finished] == ["team", None]
        assert BEARER_PREFIX not in str(logs).replace("ppt_...", "")
        assert digest_of_token(TEAM) not in str(logs)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Authorization: Bearer {token}"], 200),
        (["authorization: bEARER   {token} "], 200),
        (["Authorization: Bearer {token}", "Authorization: Bearer {token}"], 401),
        (["Authorization: Bearer {token}", "Authorization: Bearer ppt_other"], 401),
        (["Authorization: Bearer ppt_other", "Authorization: Bearer {token}"], 401),
        (["Authorization: Bearer {token}, Bearer {token}"], 401),
        (["Authorization: Bearer {token}="], 401),
        (["Authorization: Bearer{token}"], 401),
        (["Authorization: {token}"], 401),
        (["Authorization: Basic {token}"], 401),
        (["Authorization:"], 401),
        (["Proxy-Authorization: Bearer {token}"], 401),
        (["Cookie: Authorization=Bearer {token}"], 401),
        ([], 401),
    ],
)
async def test_how_a_token_is_sent(tmp_path: Path, lines: list[str], status: int) -> None:
    """In one way; also on a connection on which it has been sent before, in the middle of hits of the fast way."""
    async with guarded(tmp_path) as running:
        url = URL(running.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        wire = Wire(reader=reader, writer=writer)
        target = targets(OURS, "ours")[0]
        for _ in range(3):
            assert await ask(wire, target, TEAM) == 200
            head = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1", *(line.format(token=TEAM) for line in lines), "", ""]
            assert (await wire.ask("\r\n".join(head).encode())).status == status
        assert running.parts.web.leases.count == 1
        await wire.close()


async def test_a_revoked_token_in_the_line(tmp_path: Path) -> None:
    """Requests that waited for their client's turn until its token was revoked ask pluto-api for nothing any more."""
    async with guarded(tmp_path, access__client_concurrency=1) as running:
        gate = asyncio.Event()
        running.standin.faults.add(Fault(kind=FaultKind.HOLD, gate=gate, times=None))
        panels = [f"{METRICS}?runId={OURS}&projectName=ours&logName=loss&stepMin={step}" for step in range(5)]
        asking = [asyncio.create_task(running.get(panel, **bearer(TEAM))) for panel in panels]
        await running.arrived(len(panels))
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        write(tokens_file(running), token("all"))
        running.advance(1)
        gate.set()
        assert {(await reply).status for reply in asking} == {401}
        assert running.metrics_calls == 1
