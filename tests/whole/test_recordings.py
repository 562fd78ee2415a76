"""Every recorded answer comes back through the proxy as the upstream gave it, fetched and from the cache."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from proxy.standin import Fault, FaultKind, Standin, StandinConfig, StepMode
from tests.support.world import DATA, METRICS, world

# Their queries are malformed percent-encoding or hold NUL: refused here, a deliberate difference.
REFUSED = {91, 93}
# Two groups share steps there, and which of their rows comes first is undefined upstream: the stand-in may choose another than
# the recorded server did, so it is given the recorded body to send.
TIES = {113, 115, 119, 121, 247}


def recordings() -> list[dict[str, Any]]:
    with gzip.open(DATA / "recorded.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def wanted(mode: str) -> list[dict[str, Any]]:
    """Answers to a key that sees the rows: a recording with another organization's key says nothing about this one."""
    return [
        recorded
        for recorded in recordings()
        if recorded["mode"] == mode
        and recorded["method"] == "GET"
        and recorded["status"] == 200
        and recorded["path"] == METRICS
        and "mlpi_other" not in recorded["headers"].get("Authorization", "")
    ]


@pytest.mark.parametrize("mode", ["unquoted", "quoted"])
@pytest.mark.parametrize("memory_bytes", [0, 2**28])
async def test_every_recorded_answer_twice(tmp_path: Path, mode: str, memory_bytes: int) -> None:
    """As a miss and as a hit, equal as JSON: the order, int against float, number against string."""
    standin = Standin(StandinConfig(mode=StepMode(mode)))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    seen: set[bytes] = set()
    async with world(tmp_path, standin=standin, cache__memory_bytes=memory_bytes) as running:
        for recorded in wanted(mode):
            target = f"{METRICS}?{recorded['query']}"
            if recorded["id"] in TIES:
                standin.faults.add(Fault(kind=FaultKind.NOT_JSON, body=recorded["body"]))
            first, second = await running.get(target), await running.get(target)
            if recorded["id"] in REFUSED:
                assert first.status == second.status == 400
                continue
            assert second.is_hit
            for reply in (first, second):
                assert reply.status == 200
                assert typed(reply.body) == typed(recorded["body"]), recorded["id"]
            seen.add(second.body)
        assert running.metrics_calls <= len(wanted(mode))
    assert len(seen) > (5 if mode == "quoted" else 50)


def typed(text: str | bytes) -> str:
    """A JSON text in a form in which 1 and 1.0 differ, and the order of rows counts."""
    return repr(json.loads(text))
