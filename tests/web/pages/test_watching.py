"""What an operator sees: metrics, readiness, one log line where there is something to tell; and who may keep it."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from proxy import log
from proxy.deferred_counts import DeferredCounts
from proxy.standin import Fault, FaultKind
from proxy.web.accounting.summary import AnswerSummary
from tests.support.tokens import ROOT, TEAM, bearer, guarded
from tests.support.world import METRICS, QUESTION, ManualClock, world


async def test_metrics(tmp_path: Path) -> None:
    """Requests by route and outcome, calls by status, sizes; no run, project or metric name in any label."""
    async with world(tmp_path) as running:
        await running.get()
        await running.get()
        await running.get(If_None_Match="*")
        await running.get(METRICS)
        await running.get("/nowhere")
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        await running.get(f"{METRICS}?runId=4711&projectName=secret-project&logName=secret-name")
        await running.flushed()
        reply = await running.get("/metrics")
        assert reply.headers["Content-Type"].startswith("text/plain; version=")
        text = reply.body.decode()
        for line in (
            'pluto_proxy_requests_total{outcome="miss",route="metrics"} 1.0',
            'pluto_proxy_requests_total{outcome="hit",route="metrics"} 2.0',
            'pluto_proxy_requests_total{outcome="bad-query",route="metrics"} 1.0',
            'pluto_proxy_requests_total{outcome="upstream-failed",route="metrics"} 1.0',
            'pluto_proxy_requests_total{outcome="not-found",route="none"} 1.0',
            'pluto_proxy_not_modified_total{route="metrics"} 1.0',
            'pluto_proxy_upstream_requests_total{status="500"} 1.0',
            'pluto_proxy_store_entries{store="memory"} 1.0',
            'pluto_proxy_store_entries{store="disk"} 1.0',
            "pluto_proxy_store_healthy 1.0",
            "pluto_proxy_key_refused 0.0",
        ):
            assert line in text
        assert "pluto_proxy_build_info{" in text
        assert "process_resident_memory_bytes" in text
        assert not any(word in text for word in ("secret", "4711", "demo", "loss"))


async def test_the_verbose_readiness(tmp_path: Path) -> None:
    """JSON on request, with the states behind the one word."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        document = (await running.get("/readyz?verbose")).json
        assert document["ready"] is True
        assert document["troubles"] == []
        assert document["store"]["disk"] == "ok"
        assert document["organization_known"] is True
        assert document["upstream"]["condition"] == "open"


async def test_one_line_for_what_is_no_hit(tmp_path: Path) -> None:
    """A miss, an error and an answer that is stale because something is wrong leave a line each; others are summed up."""
    async with world(tmp_path) as running:
        with capture_logs() as lines:
            await running.get(X_Request_ID="r-1")
            await running.get()
            await running.get(METRICS)
            running.clock.advance(6)
            await running.get()
            await running.settled()
            running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
            running.clock.advance(12)
            await running.get()
            running.parts.web.summary.flush()
        finished = [line for line in lines if line["event"] == "request.finished"]
        assert [line["outcome"] for line in finished] == ["miss", "bad-query", "stale"]
        [summed] = [line for line in lines if line["event"] == "answers.summed"]
        assert (summed["hit"], summed["stale"], summed["oldest_s"]) == (1, 1, 6)
        miss = finished[0]
        assert miss["route"] == "metrics"
        assert miss["status"] == 200
        assert miss["key"] == QUESTION
        assert miss["request_id"] == "r-1"
        assert {"age_s", "duration_ms", "upstream_ms"} <= set(miss)
        assert finished[2]["stale"] == "upstream-failed"


async def test_a_herd_is_one_line(tmp_path: Path) -> None:
    """One of those who ask for the same at the same moment has a line, the others are summed up."""
    async with world(tmp_path) as running:
        with capture_logs() as lines:
            await asyncio.gather(*(running.get() for _ in range(20)))
            running.parts.web.summary.flush()
        assert [line["outcome"] for line in lines if line["event"] == "request.finished"] == ["miss"]
        # On a busy machine some come after the answer.
        assert [line["collapsed"] + line.get("hit", 0) for line in lines if line["event"] == "answers.summed"] == [19]


def test_answers_are_summed_up() -> None:
    """One line for a period with answers, none for one without."""
    clock = ManualClock()
    summed = AnswerSummary(clock, DeferredCounts())
    with capture_logs() as lines:
        summed.flush()
        for number in range(1, 4):
            summed.note("stale" if number == 3 else "hit", number / 1000, 2.0 * number, not_modified=number == 2)
        clock.advance(1)
        summed.flush()
        summed.flush()
    assert lines == [
        {
            "event": "answers.summed",
            "log_level": "info",
            "hit": 2,
            "stale": 1,
            "not_modified": 1,
            "slowest_ms": 3.0,
            "oldest_s": 6.0,
            "period_s": 1.0,
        }
    ]


async def test_a_crash_is_a_document_and_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen fault gives the client 500 with the request's id, and the log the traceback; nothing of it leaks."""
    async with world(tmp_path) as running:

        async def crash(*_: object) -> None:
            raise RuntimeError("inner details")

        monkeypatch.setattr(running.parts.reader, "read", crash)
        with capture_logs() as lines:
            reply = await running.get(X_Request_ID="r-2")
        assert (reply.status, reply.json["code"], reply.json["request_id"]) == (500, "internal", "r-2")
        assert b"inner details" not in reply.body
        assert any(line["event"] == "request.crashed" and line["request_id"] == "r-2" for line in lines)


@pytest.mark.parametrize(("log_format", "is_json"), [("json", True), ("console", False)])
def test_log_formats(
    log_format: str, is_json: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """JSON lines or a console; the standard library's records come in the same form."""
    before = structlog.get_config(), logging.getLogger().handlers[:], logging.getLogger().level
    try:
        monkeypatch.setattr("sys.stderr", sys.stderr)  # as it was, afterwards
        written = log.configure(level="info", log_format=log_format)  # type: ignore[arg-type]  # from the parameters above
        structlog.get_logger().info("thing.happened", size=3)
        structlog.get_logger().debug("thing.hidden")
        logging.getLogger("aiohttp.client").error("stdlib %s", "record")
        assert written.settled(30)
        lines = capfd.readouterr().err.splitlines()
    finally:
        structlog.configure(**before[0])
        logging.getLogger().handlers[:] = before[1]
        logging.getLogger().setLevel(before[2])
    assert len(lines) == 2
    assert "thing.happened" in lines[0]
    assert "stdlib record" in lines[1]
    if is_json:
        assert [json.loads(line)["level"] for line in lines] == ["info", "error"]


@pytest.mark.parametrize(
    "path", ["/metrics", "/readyz?verbose", "/readyz", "/livez", "/openapi.json", "/admin/state", "/nothing"]
)
async def test_nothing_before_the_proxy_keeps_what_is_told_to_one(tmp_path: Path, path: str) -> None:
    """Not even a front that doesn't know that an answer may depend on `Authorization`."""
    async with guarded(tmp_path) as running:
        for headers in (bearer(ROOT), bearer(TEAM), {}):
            said = (await running.get(path, **headers)).headers["Cache-Control"]
            assert said in {"no-store", "private, no-cache"}
