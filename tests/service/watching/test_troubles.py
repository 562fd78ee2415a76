"""What those who watch are told where the proxy is offline."""

from pathlib import Path

from proxy.core.freshness.plan import Condition
from proxy.service.watching.troubles import trouble_of_condition
from proxy.standin import Standin
from tests.support.world import METRICS, ManualClock, world


def test_offline_is_no_failure() -> None:
    """It is told by its own code, not as an upstream that rests."""
    trouble = trouble_of_condition(Condition.OFFLINE)
    assert trouble is not None
    assert trouble.code == "offline"
    assert "never asked" in trouble.detail


async def test_a_view_of_what_is_stored(tmp_path: Path) -> None:
    """Series that the file has are shown however old; of others it is said that nobody can ask for them."""
    standin, clock = Standin(), ManualClock()
    async with standin.serve() as upstream:
        async with world(tmp_path, standin=standin, upstream=upstream, clock=clock, series__enabled="true") as running:
            await running.parts.tenancy.settled()
            for limit in (2, 10_000):
                await running.get(f"{METRICS}?runId=1&projectName=demo&logName=loss&limit={limit}")
            await running.settled()
            await running.flushed()
        clock.advance(86_400)
        async with world(
            tmp_path,
            standin=standin,
            upstream=upstream,
            clock=clock,
            series__enabled="true",
            keyless=True,
            upstream__offline="true",
        ) as running:
            reply = await running.get("/view/series?project=demo&run=1&metric=loss&metric=none&points=50")
            assert reply.status == 200
            known, unknown = reply.json["series"]
            assert (known["state"], known["rows"]) == ("complete", 1500)
            assert unknown["state"] == "failed"
            assert unknown["error"]["code"] == "offline"
