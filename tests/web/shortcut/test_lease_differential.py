"""Whatever happens, in whatever order: what a lease answers is what the ordinary way says at that very moment.

A file's change may be noticed late, by `LONGEST_S` (key) or a second (tokens): a step that changes one lets that time pass.
Nothing else may be late. Besides, every request is counted once, however it was answered.
"""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import KeySource
from proxy.core.access.grants import BEARER_PREFIX
from proxy.core.freshness.purge import Purge
from proxy.core.run_status import Listing, RunEnd, Terminal
from proxy.service.lifetimes.known_runs import RunKey
from proxy.standin import Fault, FaultKind, Row
from proxy.store.token_file import Token
from proxy.web.shortcut.lease import LONGEST_S
from tests.support.reloading import reload
from tests.support.tokens import token, write
from tests.support.wire import LARGE, MIDDLE, SMALL, Raw, Watched, key_file, request, watched
from tests.support.world import KEY, METRICS, ManualClock

pytestmark = pytest.mark.leases

BEGAN_S = 1_800_000_000.0
ORIGIN = "https://board.example"
USUAL: dict[str, Any] = {
    "freshness__client_floor_s": 0,
    "upstream__ignored_params": "_",
    "server__cors_origins": ORIGIN,
    "cache__memory_bytes": 2**23,
}
# Other settings, of which each changes some answer or how it is found.
SETTINGS: list[dict[str, Any]] = [
    {},
    {"server__cors_origins": "https://other.example"},
    {"freshness__running_s": 2},
    {"upstream__ignored_params": "nonce"},
    {"freshness__client_floor_s": 5},
    {"server__allowed_hosts": "proxy.example"},
    {"access__client_rate_per_s": 1_000_000, "access__client_burst": 1_000_000},
]
HOLDERS = {
    "all": token("all"),
    "demo": token("demo", projects=["demo"]),
    "other": token("other", projects=["other"]),
    "soon": token("soon", expires_at_s=int(BEGAN_S) + 6),
    "root": token("root", admin=True),
}
# What the file says of tokens after it was changed.
FILES: list[dict[str, Token | None]] = [
    {},
    {"all": None},
    {"demo": None},
    {"all": token("all", projects=["demo"])},
    {"all": token("all", projects=["other"]), "demo": token("demo")},
    {"other": token("other", projects=["demo", "other"])},
]
TARGETS = [
    LARGE,
    LARGE,
    MIDDLE,
    SMALL,
    f"{LARGE}&_=1",
    f"{LARGE}&nonce=1",
    f"{METRICS}?logName=%6Coss&projectName=demo&runId=1",
    f"http://127.0.0.1{LARGE}",
    f"http://elsewhere.example{LARGE}",
    "/api/runs/list?projectName=demo",
    f"{METRICS}?runId=2&projectName=other&logName=loss",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; its tag is `current`, `other` or none."""

    target: str
    method: str
    lines: tuple[str, ...]
    tag: str
    holder: str
    times: int

    def raw(self, tag: str) -> bytes:
        tags = {"current": [f"If-None-Match: W/{tag}"], "other": ['If-None-Match: "x"'], "any": ["If-None-Match: *"]}
        bearer = f"Authorization: Bearer {BEARER_PREFIX}{self.holder}"
        return request(self.target, *filter(None, self.lines), *tags.get(self.tag, []), bearer, method=self.method)


def line(*lines: str) -> st.SearchStrategy[str]:
    """One of these lines or, more often, none: most requests are plain."""
    return st.sampled_from(["", "", "", *lines])


ASKED = st.builds(
    Asked,
    st.sampled_from(TARGETS),
    st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    st.tuples(
        line("Host: proxy.example", "Host: elsewhere.example", "Host: localhost"),
        line(f"Origin: {ORIGIN}", "Origin: https://other.example", "Origin: https://rebound.example"),
        line("Accept-Encoding: gzip", "Accept-Encoding: zstd, gzip;q=0.5", "Accept-Encoding: gzip, identity;q=0"),
        line("Cache-Control: max-age=2", "Cache-Control: min-fresh=3", "Cache-Control: no-cache", "Pragma: no-cache"),
        line("X-Request-ID: mine", "X-Request-ID: not sane"),
    ),
    st.sampled_from(["none", "none", "current", "other", "any"]),
    st.sampled_from(["all", "all", "all", "demo", "other", "soon", "nobody"]),
    st.integers(1, 4),
)
EVENTS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([0.25, 0.5, 0.75, 1, 2.25, 5, 60, 700, 4_000, 0.001, 0.0137, 0.249])),
    st.tuples(st.just("pass"), st.sampled_from([-0.25, -0.5, -1, -1.125])),
    st.tuples(st.just("upstream"), st.sampled_from(["grows", 404, 500])),
    st.tuples(st.just("key"), st.sampled_from([KEY, "mlps_standin_rotated", "mlpi_standin_other"])),
    st.tuples(st.just("tokens"), st.sampled_from(FILES)),
    st.tuples(st.just("memory"), st.sampled_from(["lost", "evicts"])),
    st.tuples(
        st.just("purge"),
        st.booleans(),
        st.sampled_from([{}, {"project": "demo"}, {"run": "1"}, {"run": "2"}, {"metric": "loss"}, {"metric": "other"}]),
    ),
    st.tuples(st.just("run"), st.sampled_from(["ended", "resumed", "listed", "changed", "stood"])),
    st.tuples(st.just("settings"), st.sampled_from(SETTINGS)),
)


@dataclass(slots=True)
class Counted:
    """What the counters must say, by what was asked and answered."""

    received: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    body_bytes: Counter[str] = field(default_factory=Counter)
    answers: int = 0

    def note(self, reply: Raw, holder: str) -> None:
        name = "" if reply.status == 401 else holder
        self.received += 1
        self.body_bytes[name] += len(reply.body)
        # A stale answer comes from the cache as well, and is counted as one of its own kind.
        self.hits[name] += reply.is_hit and "stale" not in (reply.header("Cache-Status") or "")
        self.answers += reply.header("Cache-Status") is not None and reply.status < 405


class Course:
    """A proxy to which things happen, and that is asked after each."""

    def __init__(self, seen: Watched, folder: Path, key: KeySource) -> None:
        self._seen = seen
        self._running = seen.running
        self._folder = folder
        self._key = key
        self._settings = USUAL | {"access__tokens_file": folder / "tokens.json"}
        self._tags: dict[str, str] = {}
        self._number = 0
        self.counted = Counted()

    async def happen(self, event: tuple[Any, ...]) -> None:
        """Have something happen."""
        running, now_s = self._running, self._running.clock.now_s()
        self._number += 1
        match event:
            case ("pass", seconds):
                running.advance(seconds)
            case ("upstream", what):
                self._turn(what)
            case ("key", text):
                key_file(self._folder, text)
                running.advance(LONGEST_S)
            case ("tokens", others):
                write(self._folder / "tokens.json", *filter(None, (HOLDERS | others).values()))
                running.advance(1)
            case ("memory", what):
                self._lose(what)
            case ("purge", soft, named):
                await running.parts.purging.purge(Purge(at_s=now_s, soft=soft, **named))
            case ("run", what):
                self._note(what, now_s)
            case ("settings", others):
                await reload(self._folder, running, self._key, **self._settings | others)

    def _turn(self, what: str | int) -> None:
        standin = self._running.standin
        if isinstance(what, int):
            standin.faults.add(Fault(kind=FaultKind.STATUS, status=what))
        else:
            standin.rows.insert([Row(run_id=1, log_name="loss", step=2_000 + self._number, value=1)])

    def _lose(self, what: str) -> None:
        memory = self._running.parts.store.memory
        if what == "lost":
            memory.clear()
        elif memory.entries:
            memory._held.popitem()

    def _note(self, what: str, now_s: float) -> None:
        """Have something be learned of the run."""
        lifetimes, tenant = self._running.parts.lifetimes, self._running.parts.tenancy.current()
        key = RunKey(tenant.namespace, "demo", "1")
        values = {"runId": "1", "projectName": "demo", "logName": "loss"}
        if what == "ended":
            lifetimes._known.note_details(key, RunEnd(status=Terminal.COMPLETED, at_s=now_s - 9_000), now_s)
        elif what == "resumed":
            lifetimes._known.note_details(key, None, now_s)
        elif what == "changed":
            lifetimes._known.note_change(key, now_s)
        elif what == "stood":
            lifetimes._sightings.note(tenant.namespace, values, now_s - 5_000, confirms=True)
        else:
            lifetimes._known.note_list(key, Complete(), now_s)

    async def ask(self, asked: Asked) -> None:
        """Ask as often as wanted, and hold what comes by a lease against the ordinary way."""
        for _ in range(asked.times):
            await self._seen.settled()
            raw = asked.raw(self._tags.get(asked.target, '"none"'))
            reply, was_fast = await self._seen.ask(raw)
            self.counted.note(reply, asked.holder)
            self._tags[asked.target] = reply.header("ETag") or self._tags.get(asked.target, '"none"')
            if was_fast:
                ordinary = await self._seen.ordinary(raw)
                self.counted.note(ordinary, asked.holder)
                assert reply.exact == ordinary.exact
                assert reply.header("Date") == formatdate(int(self._running.clock.now_s()), usegmt=True)
                assert (reply.header("X-Request-ID") == "mine") == (b"X-Request-ID: mine" in raw)

    async def account(self) -> None:
        """Hold what the counters say against what was asked."""
        counted, parts = self.counted, self._running.parts
        assert parts.web.intake.requests == counted.received
        assert sum(times for _, times in parts.web.busiest.top(1_000)) == counted.answers
        reply = await self._running.get("/metrics", Authorization=f"Bearer {BEARER_PREFIX}root", Host="proxy.example")
        values = {}
        for text in reply.body.decode().splitlines():
            name, _, value = text.rpartition(" ")
            values[name] = value
        hits = sum(
            float(value) for name, value in values.items() if name.startswith('pluto_proxy_requests_total{outcome="hit"')
        )
        assert hits == counted.hits.total()
        assert float(values["pluto_proxy_requests_received_total"]) == counted.received + 1
        for holder, times in counted.hits.items():
            name = f'pluto_proxy_token_requests_total{{outcome="hit",token="{holder}"}}'
            assert float(values.get(name, 0)) == times
        for holder, body_bytes in counted.body_bytes.items():
            assert float(values.get(f'pluto_proxy_token_body_bytes_total{{token="{holder}"}}', 0)) == body_bytes


class Complete(Listing):
    """A complete list of a project in which nothing runs."""

    @property
    def is_complete(self) -> bool:
        return True


@settings(max_examples=25)
@given(st.lists(st.tuples(EVENTS, st.lists(ASKED, min_size=1, max_size=3)), min_size=4, max_size=12), ASKED)
async def test_whatever_happens(steps: list[tuple[tuple[Any, ...], list[Asked]]], last: Asked) -> None:
    """A lease says what the ordinary way says, all is counted, and a process that ends answers by none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = KeySource(path=folder / "key")
        key_file(folder, KEY)
        write(folder / "tokens.json", *HOLDERS.values())
        options = USUAL | {"access__tokens_file": folder / "tokens.json"}
        async with watched(folder, key=key, clock=ManualClock(BEGAN_S), **options) as seen:
            seen.running.standin.rows.insert([Row(run_id=2, project="other", log_name="loss", step=1, value=1)])
            course = Course(seen, folder, key)
            usual = [asked for _, several in steps for asked in several][:3]
            for event, several in steps:
                await course.happen(event)
                # Those of the first step are asked again after each: what was leased before must follow.
                for asked in [*several, *usual]:
                    await course.ask(asked)
            await course.account()
            seen.running.parts.web.intake.drain()
            await seen.settled()
            reply, was_fast = await seen.ask(last.raw('"none"'))
            assert (was_fast, reply.header("Connection")) == (False, "close")
