"""Every recorded answer comes back through the proxy as the upstream gave it, fetched and from the cache."""

from pathlib import Path

import pytest

from proxy.standin import Fault, FaultKind, Standin, StandinConfig, StepMode
from tests.support.recordings import REFUSED, TIES, typed, wanted
from tests.support.world import DATA, METRICS, world


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
