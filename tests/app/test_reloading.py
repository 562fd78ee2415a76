"""Reloading: what was switched to is what would have been opened, and a fault changes nothing."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from proxy.app.reloading import Reloader
from proxy.cli.descriptors import fit_connections
from proxy.config import KeySource, LoadedConfig
from proxy.core.question.routes import ROUTES
from proxy.service.access.tokens import PERIOD_S, read_token_file
from proxy.standin.auth import DEFAULT_KEYS
from proxy.tasks import end_tasks
from tests.support.held_settings import held
from tests.support.reloading import OTHER, loaded, reload
from tests.support.tokens import OURS, ROOT, TEAM, bearer, guarded, token, write
from tests.support.world import World, until, world

OURS_DETAILS = f"/api/runs/details/{OURS}"
OTHER_KEY = DEFAULT_KEYS[1].text

# Another value for each setting that can change, but for those that exclude each other.
USUAL = {name.replace(".", "__"): value for name, value in OTHER.items() if name not in {"access.open", "access.tokens_file"}}
# What tells of the past, or is another at each start. Purges are kept for as long as the longest deadline that there was needs.
PAST = (
    "settings.version",
    "_any_visit.version",
    "tokens._generation",
    "tokens._watch._looked_s",
    "reloads.",
    "_purges._keep_s",
    "_bucket._tokens",
    "_ids.",
    "tokens._ending.number",
    "web.leases._judged",
    "_boot",
    "store.disk._keeper.",
)


def lasting(running: World) -> dict[str, object]:
    return {place: value for place, value in held(running.parts).items() if not any(part in place for part in PAST)}


async def test_as_if_it_had_been_opened_so(tmp_path: Path) -> None:
    """No part holds a setting of before: each value in any of them is what it would be after a start."""
    async with world(tmp_path, upstream="http://127.0.0.1:9", **USUAL) as running:
        opened = lasting(running)
    shutil.rmtree(tmp_path / "cache")
    async with world(tmp_path, upstream="http://127.0.0.1:9") as running:
        before = lasting(running)
        await reload(tmp_path, running, **USUAL)
        switched = lasting(running)
    assert {place: (value, switched.get(place)) for place, value in opened.items() if switched.get(place) != value} == {}
    assert switched.keys() == opened.keys()
    assert len({place for place, value in before.items() if opened.get(place) != value}) > len(ROUTES)


async def test_a_fault_changes_nothing(tmp_path: Path) -> None:
    """Whatever is wrong, with the settings or with a file that they name: all stays as it was, and the faults are told."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        await running.settled()
        before = lasting(running)
        faulty: list[tuple[str, dict[str, Any]]] = [
            ("freshness.running_s", USUAL | {"freshness__running_s": -1}),
            ("access.tokens_file", USUAL | {"access__tokens_file": tmp_path / "none"}),
        ]
        for number, (name, settings) in enumerate(faulty, 1):
            with capture_logs() as logs:
                await reload(tmp_path, running, **settings)
            assert [line["event"] for line in logs] == ["config.kept"]
            assert [fault.partition(":")[0] for fault in running.parts.reloads.last.faults] == [name]
            assert running.parts.reloads.failed == number
            assert lasting(running) == before
        no_key = tmp_path / "key"
        await reload(tmp_path, running, KeySource(path=no_key), **USUAL)
        assert running.parts.reloads.last.faults == (f"PLUTO_API_KEY_FILE: {no_key} cannot be read: No such file or directory",)
        assert lasting(running) == before
        assert (await running.get("/readyz")).body.count(b"configuration could not be reloaded") == 1
        await reload(tmp_path, running)
        assert b"configuration" not in (await running.get("/readyz")).body


async def test_what_cannot_change(tmp_path: Path) -> None:
    """It is named in one line, stays as it was, and what can change does all the same."""
    async with world(tmp_path) as running:
        upstream = running.upstream
        with capture_logs() as logs:
            await reload(tmp_path, running, cache__memory_bytes=1, cache__label="x", freshness__running_s=9)
        told = [line for line in logs if line["event"] == "config.restart_needed"]
        assert [line["settings"] for line in told] == [["cache.label", "cache.memory_bytes"]]
        now = running.parts.settings.now
        assert (now.freshness.running_s, now.cache.label, now.cache.memory_bytes, now.upstream.url) == (9, "", 2**28, upstream)
        assert b"take a restart" in (await running.get("/readyz")).body
        assert (await running.get("/readyz?verbose")).json["configuration"]["restart_needed"] == [
            "cache.label",
            "cache.memory_bytes",
        ]
        await reload(tmp_path, running)
        assert b"take a restart" not in (await running.get("/readyz")).body


async def test_a_crash_changes_nothing(tmp_path: Path) -> None:
    """Not even a fault of the proxy itself ends what reloads."""

    def read() -> LoadedConfig:
        raise RuntimeError("no")

    async with world(tmp_path) as running:
        reloading = Reloader(running.parts, read=read, fit=fit_connections, told=nullcontext)
        await reloading.reload()
        assert running.parts.reloads.last.faults == ("a fault in the proxy: RuntimeError",)
        assert running.parts.settings.version == 0


async def test_without_a_key_any_more(tmp_path: Path) -> None:
    """The upstream is never asked without one."""
    async with world(tmp_path) as running:
        found = loaded(tmp_path, running.upstream, upstream__offline=True)
        keyless = LoadedConfig(config=found.config, sources=found.sources, key=None)
        await Reloader(running.parts, read=lambda: keyless, fit=fit_connections, told=nullcontext).reload()
        assert running.parts.reloads.last.faults == ("PLUTO_API_KEY: there is no key any more",)


async def test_asked_for_during_a_reload(tmp_path: Path) -> None:
    """There is one more after it, which reads what was written meanwhile; ten times asked is once."""
    async with world(tmp_path) as running:
        entered, gate, told = asyncio.Event(), threading.Event(), list[str]()
        loop, lifetimes = asyncio.get_running_loop(), iter((1, 2, 3))

        def read() -> LoadedConfig:
            running_s = next(lifetimes)
            loop.call_soon_threadsafe(entered.set)
            assert gate.wait(10)
            return loaded(tmp_path, running.upstream, freshness__running_s=running_s)

        @contextmanager
        def telling() -> Iterator[None]:
            told.append("begins")
            yield
            told.append("ends")

        reloading = Reloader(running.parts, read=read, fit=fit_connections, told=telling)
        task = asyncio.create_task(reloading.run())
        reloading.ask()
        await until(entered)
        assert (await running.get()).status == 200
        for _ in range(10):
            reloading.ask()
        gate.set()
        async with asyncio.timeout(10):
            while running.parts.reloads.succeeded < 2 or len(told) < 4:  # noqa: ASYNC110 -- no event tells it
                await asyncio.sleep(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert running.parts.settings.now.freshness.running_s == 2
        assert told == ["begins", "ends"] * 2
        await end_tasks([task])


async def test_the_key_and_the_tokens(tmp_path: Path) -> None:
    """Another key is used from then on; tokens of another file are good, those of the one before are not."""
    one, other = tmp_path / "one.json", tmp_path / "two" / "tokens.json"
    write(one, token("team"))
    write(other, token("root"))
    async with guarded(tmp_path, access__tokens_file=one) as running:
        assert (await running.get(OURS_DETAILS, **bearer(TEAM))).status == 200
        await reload(tmp_path, running, KeySource(value=OTHER_KEY), access__tokens_file=other)
        assert (await running.get(OURS_DETAILS, **bearer(TEAM))).status == 401
        assert (await running.get(OURS_DETAILS, **bearer(ROOT))).status == 200
        assert running.parts.upstream.key().secret == OTHER_KEY
        await reload(tmp_path, running)
        assert (await running.get(OURS_DETAILS)).status == 200
        assert "security" not in (await running.get("/openapi.json")).json
        await reload(tmp_path, running, access__tokens_file=one)
        assert (await running.get(OURS_DETAILS)).status == 401
        assert (await running.get(OURS_DETAILS, **bearer(TEAM))).status == 200
        assert "security" in (await running.get("/openapi.json", **bearer(TEAM))).json


async def test_a_token_revoked_while_its_file_was_read(tmp_path: Path) -> None:
    """What was read before the revocation doesn't make the token good again."""
    path = tmp_path / "tokens.json"
    write(path, token("team"), token("root"))
    async with guarded(tmp_path, access__tokens_file=path) as running:
        tokens = running.parts.tokens
        before = read_token_file(path)
        write(path, token("root"))
        running.advance(PERIOD_S)
        assert (await running.get(OURS_DETAILS, **bearer(TEAM))).status == 401
        tokens.renew(before)
        assert (await running.get(OURS_DETAILS, **bearer(TEAM))).status == 401
