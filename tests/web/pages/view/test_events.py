"""`/view/events`, as a client sees it."""

from pathlib import Path

from tests.support.event_streams import listening, watching
from tests.support.live_runs import begin, live
from tests.support.world import World


async def looked(running: World, *, seconds: float = 0.0) -> None:
    """Let time pass, and everything be read that is due then."""
    running.advance(seconds)
    await running.parts.watching.look()
    await running.parts.watching.settled()
    await running.parts.watching.look()


async def test_new_rows_are_told(tmp_path: Path) -> None:
    """A growing series has another version, and a later last step; one that stands still is not told of."""
    async with live(tmp_path) as (running, upstream):
        begin(upstream, "loss", "accuracy")
        async with listening(running.url, watching("loss", "accuracy")) as listener:
            state = await listener.next()
            assert (state.name, set(state.series)) == ("state", {"loss", "accuracy"})
            first = {**(await listener.until("rows")).series, **(await listener.until("rows")).series}
            assert {name: through for name, (_, through) in first.items()} == {"loss": 99, "accuracy": 99}
            upstream.log("loss", [100])
            await looked(running, seconds=6)
            grown = await listener.until("rows")
            assert grown.series["loss"][1] == 100
            assert grown.series["loss"][0] != first["loss"][0]
