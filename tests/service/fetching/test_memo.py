"""What is remembered of failures: it holds nothing, and does not grow."""

from pathlib import Path

import pytest

from proxy.clock import SystemClock
from proxy.core.kept_errors import drop_frames
from proxy.errors import UpstreamFailed
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.memo import Failure, Memo
from proxy.standin import Fault, FaultKind
from tests.support.held_errors import Body, raised
from tests.support.reloading import reload
from tests.support.settings import settings
from tests.support.world import World, world


def test_what_is_remembered_of_a_failure() -> None:
    """It holds nothing, neither of where it was raised first nor of those who raise it again."""
    memo, question = Memo(settings(freshness__negative_s=60), SystemClock()), CallKey("fingerprint", "/api/runs/metrics")
    error = raised(UpstreamFailed("no"), Body())
    assert isinstance(error, UpstreamFailed)
    memo.remember(question, error)
    drop_frames(error)
    for _ in range(3):
        said = memo.get(question)
        assert isinstance(said, Failure)
        with pytest.raises(UpstreamFailed, match="no"):
            raise said.to_raise()
        assert (said.error.__traceback__, said.error.__context__, said.error.__cause__) == (None, None, None)
        assert said.error is not error


async def frames(running: World) -> int:
    said = next(iter(running.parts.fetching.memo._said.held.values()))
    count, traceback = 0, said.error.__traceback__  # type: ignore[union-attr]  # a Failure in this test
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


async def test_a_remembered_error_does_not_grow(tmp_path: Path) -> None:
    """Raised a thousand times, it keeps no more frames alive than once."""
    async with world(tmp_path) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=500))
        for _ in range(200):
            assert (await running.get()).status == 502
        assert await frames(running) < 30
        assert running.metrics_calls == 1


async def test_another_time_for_what_failed(tmp_path: Path) -> None:
    """What was remembered for the time of before is forgotten; if that hasn't changed, it is remembered still."""
    async with world(tmp_path, freshness__negative_s=1000) as running:
        running.standin.faults.add(Fault(kind=FaultKind.STATUS, status=404))
        assert (await running.get()).status == 404
        await reload(tmp_path, running, freshness__negative_s=1000, freshness__running_s=1)
        assert (await running.get()).status == 404
        await reload(tmp_path, running, freshness__negative_s=10)
        assert (await running.get()).status == 200
