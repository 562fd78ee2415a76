"""What a client sees: statuses, headers and documents."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.standin import Fault, FaultKind, Standin
from tests.support.tokens import purge
from tests.support.world import KEY, METRICS, QUESTION, world


async def test_a_miss_then_a_hit(tmp_path: Path) -> None:
    """The first answer is forwarded and stored, the second comes from the cache with its age."""
    async with world(tmp_path) as running:
        first = await running.get()
        assert first.status == 200
        assert first.cache_status == "pluto-proxy; fwd=uri-miss; fwd-status=200; stored; ttl=5"
        assert first.headers["Age"] == "0"
        running.clock.advance(2.5)
        second = await running.get()
        assert second.cache_status == "pluto-proxy; hit; ttl=2"
        assert second.headers["Age"] == "2"
        assert second.headers["Content-Type"] == "application/json"
        assert second.body == first.body
        assert running.metrics_calls == 1


async def test_age_counts_from_the_sending(tmp_path: Path) -> None:
    """An answer that took 3 s is 3 s old when it arrives."""
    gate = asyncio.Event()
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(gate=gate))
        asking = asyncio.create_task(running.get())
        await running.standin.counters.reached(lambda seen: seen.by_path[METRICS] == 1)
        running.clock.advance(3)
        gate.set()
        assert (await asking).headers["Age"] == "3"
        running.clock.advance(1.9)
        assert (await running.get()).is_hit
        assert running.metrics_calls == 1


async def test_head_is_get_without_a_body(tmp_path: Path) -> None:
    """HEAD has GET's headers, and is answered from the same entry."""
    async with world(tmp_path) as running:
        got = await running.get()
        head = await running.get(method="HEAD")
        assert head.body == b""
        assert head.headers["Content-Length"] == str(len(got.body))
        assert head.is_hit
        assert running.metrics_calls == 1


async def test_only_our_own_headers_reach_the_client(tmp_path: Path) -> None:
    """Nothing of the upstream's cookies, CORS, hop-by-hop or server headers passes."""
    async with world(tmp_path) as running:
        reply = await running.get(Origin="http://evil.test", Cookie="a=b")
        names = "content-type cache-control age cache-status etag vary x-request-id content-length date server"
        assert {name.lower() for name in reply.headers} == set(names.split())
        assert reply.headers["Server"] == "pluto-proxy"
        assert "standin" not in str(reply.headers)


async def test_only_our_own_headers_reach_the_upstream(tmp_path: Path) -> None:
    """Whatever a client sends, the upstream sees the shared key and nothing of the client's."""
    async with world(tmp_path) as running:
        await running.get(Authorization="Bearer mlpi_mine", Cookie="a=b", X_Custom="1", User_Agent="me", Range="bytes=0-1")
        sent = running.standin.counters.headers[-1]
        assert set(sent) == {"host", "authorization", "accept", "accept-encoding", "user-agent"}
        assert sent["authorization"] == f"Bearer {KEY}"
        assert sent["user-agent"].startswith("pluto-proxy/")


async def test_request_ids(tmp_path: Path) -> None:
    """A sane id of the client's is kept, any other replaced; errors carry it in the document."""
    async with world(tmp_path) as running:
        assert (await running.get(X_Request_ID="abc-1")).headers["X-Request-ID"] == "abc-1"
        assert (await running.get(X_Request_ID="a b")).headers["X-Request-ID"] != "a b"
        refused = await running.get(METRICS, X_Request_ID="abc-2")
        assert refused.json["request_id"] == "abc-2"


async def test_a_bad_query_names_every_fault_and_asks_nobody(tmp_path: Path) -> None:
    """400 with a problem document that also has the `error` member of the upstream's own errors."""
    async with world(tmp_path) as running:
        reply = await running.get(f"{METRICS}?runId=abc&limit=0&logName=%zz")
        assert reply.status == 400
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.json["faults"][0]["parameter"] == "logName"
        reply = await running.get(f"{METRICS}?runId=abc&limit=0")
        assert {fault["parameter"] for fault in reply.json["faults"]} == {"runId", "projectName", "limit"}
        assert "limit: must be a whole number from 1 to 10000" in reply.json["error"]
        assert running.metrics_calls == 0


async def test_a_missing_run_is_the_upstreams_to_judge(tmp_path: Path) -> None:
    """The published document allows it, the running code answers 400: its own words are passed on, and kept a moment."""
    async with world(tmp_path) as running:
        reply = await running.get(f"{METRICS}?projectName=demo")
        assert reply.status == 400
        assert reply.json["error"]["name"] == "ZodError"
        again = await running.get(f"{METRICS}?projectName=demo")
        assert again.status == 400
        assert again.is_hit
        assert running.metrics_calls == 1
        running.clock.advance(5.1)
        await running.get(f"{METRICS}?projectName=demo")
        assert running.metrics_calls == 2


@pytest.mark.parametrize(
    "target",
    [
        "/api/runs/Metrics",
        "/api/runs/metrics/",
        "/api/runs//metrics",
        "/api/runs/%6Detrics",
        "/api/runs/metrics%2F",
        "/api/runs/./metrics",
        "/api/runs/create",
    ],
)
async def test_other_paths(tmp_path: Path, target: str) -> None:
    """Only the paths of the table, matched exactly, reach the upstream."""
    async with world(tmp_path) as running:
        reply = await running.get(f"{target}?runId=1&projectName=demo")
        assert reply.status == 404
        assert reply.json["code"] == "not-found"
        assert running.standin.counters.by_path == {"/api/runs/auth/validate": 1}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
async def test_other_methods(tmp_path: Path, method: str) -> None:
    """405 with what is allowed."""
    async with world(tmp_path) as running:
        reply = await running.get(method=method)
        assert reply.status == 405
        assert reply.headers["Allow"] == "GET, HEAD"
        assert running.metrics_calls == 0


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("localhost:8787", 200),
        ("LOCALHOST.", 200),
        ("[::1]:8787", 200),
        ("127.1.2.3:1", 200),
        ("metrics.example.org", 200),
        ("Metrics.Example.Org:443", 200),
        ("evil.test", 421),
        ("localhost.evil.test", 421),
        ("127.0.0.1.evil.test", 421),
        ("192.168.1.1", 421),
        ("", 421),
        ("[::1", 421),
        ("localhost:x", 421),
        ("metrics.example.org.evil.test", 421),
    ],
)
async def test_hosts(tmp_path: Path, host: str, status: int) -> None:
    """Only loopback names and allowed hosts are answered (DNS rebinding)."""
    async with world(tmp_path, server__allowed_hosts="metrics.example.org") as running:
        reply = await running.get(Host=host)
        assert reply.status == status
        assert (await running.get("/livez", Host=host)).status == 200
        assert running.metrics_calls == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(kind=FaultKind.STATUS, status=500), 502, "upstream-failed"),
        (Fault(kind=FaultKind.STATUS, status=502), 502, "upstream-failed"),
        (Fault(kind=FaultKind.STATUS, status=408), 502, "upstream-failed"),
        (Fault(kind=FaultKind.STATUS, status=425), 502, "upstream-failed"),
        (Fault(kind=FaultKind.HTML, status=403), 502, "upstream-failed"),
        (Fault(kind=FaultKind.HTML, status=404), 502, "upstream-failed"),
        (Fault(kind=FaultKind.STATUS, status=403), 502, "key-refused"),
        (Fault(kind=FaultKind.STATUS, status=401), 502, "key-refused"),
        (Fault(kind=FaultKind.HTML, status=401), 502, "key-refused"),
        (Fault(kind=FaultKind.REDIRECT, location="/api/runs/metrics"), 502, "upstream-failed"),
        (Fault(kind=FaultKind.CUT_HEADERS, times=None), 502, "upstream-failed"),
        (Fault(kind=FaultKind.CUT_BODY), 502, "upstream-failed"),
        (Fault(kind=FaultKind.NOT_JSON), 502, "upstream-bad-answer"),
        (Fault(kind=FaultKind.WRONG_SHAPE), 502, "upstream-bad-answer"),
        (Fault(kind=FaultKind.STATUS, status=204), 502, "upstream-failed"),
        (Fault(kind=FaultKind.HUGE, size_bytes=3_000_000), 502, "answer-too-large"),
        (Fault(kind=FaultKind.HANG), 504, "upstream-timeout"),
        (Fault(kind=FaultKind.STATUS, status=429), 503, "upstream-busy"),
        (Fault(kind=FaultKind.STATUS, status=503), 503, "upstream-busy"),
    ],
)
async def test_upstream_faults(tmp_path: Path, fault: Fault, status: int, code: str) -> None:
    """Each becomes a clear error, is never stored, and no byte of it goes out."""
    async with world(tmp_path, upstream__deadline_s=0.5, upstream__max_body_bytes=2_000_000) as running:
        running.standin.faults.add(fault)
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (status, code)
        assert reply.headers["Content-Type"] == "application/problem+json"
        running.standin.faults.clear()
        running.clock.advance(400)
        assert (await running.get()).cache_status.startswith("pluto-proxy; fwd=uri-miss; fwd-status=200; stored")


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=7), "7"),
        (Fault(kind=FaultKind.STATUS, status=503, retry_after_s=30, retry_after_as_date=True), "30"),
        (Fault(kind=FaultKind.STATUS, status=429), "5"),
        (Fault(kind=FaultKind.STATUS, status=429, retry_after_s=100_000), "300"),
    ],
)
async def test_a_429_never_passes(tmp_path: Path, fault: Fault, seconds: str) -> None:
    """Clients get 503 with Retry-After instead, and the upstream is left alone until then."""
    async with world(tmp_path, upstream__deadline_s=0.3) as running:
        running.standin.faults.add(fault)
        reply = await running.get()
        assert (reply.status, reply.headers["Retry-After"]) == (503, seconds)
        running.clock.advance(float(seconds) - 0.5)
        other = await running.get(f"{QUESTION}&stepMin=3")
        assert (other.status, other.headers["Retry-After"]) == (503, "1")
        assert running.metrics_calls == 1
        running.clock.advance(0.6)
        assert (await running.get()).status == 200


async def test_no_upstream_at_all(tmp_path: Path) -> None:
    """Nobody listening is 502; the address is not guessed at."""
    async with world(tmp_path, upstream="http://127.0.0.1:9") as running:
        reply = await running.get()
        assert (reply.status, reply.json["code"]) == (502, "upstream-failed")
        assert "no connection" in reply.json["detail"]


async def test_large_answers_are_passed_on_and_not_stored(tmp_path: Path) -> None:
    """Over `max_object_bytes` every request asks again."""
    async with world(tmp_path, cache__max_object_bytes=100) as running:
        for calls in (1, 2):
            reply = await running.get()
            assert reply.status == 200
            assert reply.cache_status == "pluto-proxy; fwd=uri-miss; fwd-status=200"
            assert running.metrics_calls == calls


async def test_unknown_parameters_are_dropped_aloud(tmp_path: Path) -> None:
    """They are counted and named in Cache-Status; extra parameters are forwarded and part of the question."""
    async with world(tmp_path, upstream__extra_params="smooth") as running:
        plain = await running.get()
        unknown = await running.get(f"{QUESTION}&n%22ew=1&_=5")
        assert plain.status == 200
        assert unknown.cache_status == 'pluto-proxy; hit; ttl=5; detail="ignored unknown parameters: n\\"ew"'
        assert running.parts.web.unknown.requests == 1
        assert not (await running.get(f"{QUESTION}&smooth=1")).is_hit
        assert "smooth=1" in running.standin.counters.queries[-1]


async def test_long_lines(tmp_path: Path) -> None:
    """Names as long as the upstream takes are taken, longer ones refused with 414."""
    async with world(tmp_path) as running:
        assert (await running.get(f"{METRICS}?runId=1&projectName=demo&logName={'x' * 14_000}")).status == 200
        assert (await running.get(f"{METRICS}?runId=1&projectName=demo&logName={'x' * 15_100}")).status == 414


async def test_probes(tmp_path: Path) -> None:
    """Alive and ready while serving; not ready once told to end."""
    async with world(tmp_path, standin=Standin()) as running:
        assert (await running.get("/livez")).status == 200
        assert (await running.get("/readyz")).status == 200
        assert (await running.get("/readyz", method="POST")).status == 405
        running.parts.web.intake.drain()
        assert (await running.get("/readyz")).status == 503
        assert (await running.get("/livez")).status == 200


@pytest.mark.parametrize("query", ["%&" * 5_000, "a%&" * 5_000, "%ff&" * 3_700])
async def test_a_bad_query_is_not_multiplied(tmp_path: Path, query: str) -> None:
    """The refusal of thousands of faults, and its line in the log, is shorter than what was refused."""
    async with world(tmp_path) as running:
        with capture_logs() as logs:
            reply = await running.get(f"{METRICS}?{query}")
        assert (reply.status, reply.json["code"], len(reply.json["faults"])) == (400, "bad-query", 20)
        assert "more" in reply.json["detail"]
        assert max(len(reply.body), len(str(logs))) < len(query)
        unknown: dict[str, object] = {str(number): 1 for number in range(5_000)}
        assert len((await purge(running, unknown, status=400)).body) < 5_000
