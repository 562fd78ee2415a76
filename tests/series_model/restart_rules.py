"""The proxy is killed and started anew in the model of the series engine: a mixin of rules.

A kill leaves the cache file as it was at that moment. So the file and its log are copied then, whatever is being written, and
the next proxy is given the copy.
"""

import asyncio
import math
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from proxy.core.series import evicting
from proxy.core.series.chunks import Chunk
from proxy.core.series.extents import Extents
from proxy.service.knowledge import shelf_memory, shelves
from tests.series_model.long_rules import LONG_QUESTIONS
from tests.series_model.outcomes import happened, note_proxy
from tests.support.cache_copies import copy_as_killed
from tests.support.oracle import Asked
from tests.support.oracle_upstream import OracleUpstream, proxied
from tests.support.world import METRICS, World


class RestartRules(RuleBasedStateMachine):
    """Rules for a model that makes its `_upstream` and calls `start` at its beginning, and `end` at its end."""

    _upstream: OracleUpstream
    _running: World
    _events: list[object]

    def __init__(self) -> None:
        super().__init__()
        self._serving = AsyncExitStack()
        self._proxy = AsyncExitStack()
        self._settings: dict[str, Any] = {}
        self._number = 0

    def start(self, **settings: Any) -> None:
        """Serve the upstream, and start the first proxy."""
        self._settings = settings
        self._folder = Path(self._serving.enter_context(tempfile.TemporaryDirectory()))
        self._serving.enter_context(patch.object(shelf_memory, "without_chunks", _without_chunks))
        self._serving.enter_context(patch.object(shelves, "with_chunks", _with_chunks))
        self.run(self._start())

    def end(self) -> None:
        """End the proxy and its upstream."""
        note_proxy(self._running)
        self.run(self._proxy.aclose())
        self.run(self._serving.aclose())

    @rule(
        asked=st.lists(LONG_QUESTIONS, max_size=4),
        turns=st.integers(0, 60) | st.integers(0, 600),
        how=st.sampled_from(["killed", "killed", "killed", "killed once written", "ended"]),
        really=st.integers(0, 2),
    )
    def restart(self, asked: list[Asked], turns: int, how: str, really: int) -> None:
        """The proxy is killed in the midst of some questions, or once all is on disk, or ends; then it is started anew."""
        if not really:
            self.run(self._restart(asked, turns, how))

    async def _start(self) -> None:
        self._url = await self._serving.enter_async_context(self._upstream.serve())
        await self._open()

    async def _open(self) -> None:
        world = proxied(self._folder / str(self._number), self._upstream, self._url, **self._settings)
        self._running = await self._proxy.enter_async_context(world)

    async def _restart(self, asked: list[Asked], turns: int, how: str) -> None:
        asking = [asyncio.ensure_future(self._running.get(target_of(one))) for one in asked]
        for _ in range(turns):
            await asyncio.sleep(0)
        if how == "killed once written":
            await self._running.flushed()
        before, after = (self._folder / str(self._number + more) / "cache" for more in (0, 1))
        if how != "ended":
            copy_as_killed(before / "cache.sqlite", after / "cache.sqlite")
        happened[f"proxies {how}"] += 1
        happened["proxies killed with something under way"] += how == "killed" and bool(self._running.busy)
        happened["proxies killed during a load"] += how == "killed" and bool(self._running.parts.series.loader.in_flight)
        self._events.append(f"{how} after {turns} turns, in the midst of {asked}")
        note_proxy(self._running)
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._proxy.aclose()
        if how == "ended":
            shutil.copytree(before, after)
        self._number += 1
        self._upstream.meanwhile.clear()
        # When the run was last known to be running is remembered in memory alone.
        self._upstream.told = replace(self._upstream.told, running_s=-math.inf)
        await self._open()

    @abstractmethod
    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something in the proxy's event loop."""


def target_of(asked: Asked) -> str:
    """Return a question's target."""
    values = {
        "logName": asked.name,
        "logGroup": asked.group,
        "limit": asked.limit,
        "stepMin": asked.first or None,
        "stepMax": asked.last,
    }
    texts = [f"{name}={quote(str(value), safe='')}" for name, value in values.items() if value is not None]
    return f"{METRICS}?runId=1&projectName=p&{'&'.join(texts)}"


def _without_chunks(extents: Extents, digests: Collection[str]) -> Extents:
    happened["chunks that left memory"] += len(digests)
    return evicting.without_chunks(extents, digests)


def _with_chunks(extents: Extents, found: Mapping[str, Chunk]) -> Extents:
    happened["chunks that came back"] += len(found)
    return evicting.with_chunks(extents, found)
