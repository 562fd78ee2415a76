"""An upstream that answers from the oracle alone, and the proxy in front of it: for tests of the series engine."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.oracle import Asked, Cap, OracleRow, permitted, printed
from tests.support.world import METRICS, ManualClock, Reply, World, served, until, world

State = tuple[OracleRow, ...]

REFUSAL = '{"success":false,"error":{"issues":[],"name":"ZodError"}}'


def row(name: str, step: int, *, group: str = "", value: float = 1, quoted: bool = False, **more: object) -> OracleRow:
    """Return a row as the upstream prints it; `more` are fields of a later version."""
    fields = {
        "logName": name,
        "logGroup": group,
        "value": value,
        "valueFlag": "",
        "time": "2026-01-01 00:00:00.000",
        "step": str(step) if quoted else step,
        **more,
    }
    return OracleRow(name=name, group=group, step=step, text=printed(fields))


def moment(at_s: float) -> str:
    """Return a wall time as rows have theirs."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an upstream has told of the run's status. Wall times.

    `running_s`: when it last told that it is running. `listed_absent_s`: when a list last left it out. `latest_s`: the latest
    of the times in its last details, None where these didn't tell that it ended.
    """

    running_s: float = -math.inf
    listed_absent_s: float = -math.inf
    latest_s: float | None = None


@dataclass
class OracleUpstream:
    """Answers for one run, number 1 of the project `p`; `history` has every state that it was in, with its time.

    `instead` answers in its place where the upstream breaks its own rule, `details` for those of the run; `cap` is what it
    silently sends at most, and `caps` those that there were, with their times. `meanwhile` is done after its next answers to
    metric queries, one after each. `asked` leaves out the lists of running runs.
    `status` is the run's, since the wall time `status_since_s`, its record was written at `written_s` (None, or without
    `tells_writes`: that isn't told); the list tells of it as much later as `lag_s`. `others` are running besides, and come
    before it in the list. `told` is what was told of all that.
    """

    clock: ManualClock
    rows: dict[tuple[str, str, int], OracleRow] = field(default_factory=dict)
    history: list[tuple[float, State]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    listed: int = 0
    status: str = "RUNNING"
    status_since_s: float = 0.0
    written_s: float | None = None
    tells_writes: bool = True
    told: Told = field(default_factory=Told)
    lag_s: float = 0.0
    others: tuple[int, ...] = ()
    failing: bool = False
    metrics_failing: bool = False
    names_listed: int | None = None
    details: object = None
    instead: Callable[[Any], bytes] | None = None
    cap: Cap | None = None
    caps: list[tuple[float, Cap | None]] = field(default_factory=list)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def put(self, rows: Iterable[OracleRow]) -> None:
        """Add rows, each in the place of one of its name, group and step."""
        for one in rows:
            self.rows[one.name, one.group, one.step] = one
        self.note()

    def log(self, name: str, steps: Iterable[int], *, ago_s: float = 0.0, **more: Any) -> None:
        """Add rows that were logged so many seconds ago; `more` as for `row`."""
        time = moment(self.clock.now_s() - ago_s)
        self.put(row(name, step, time=time, **more) for step in steps)

    def remove(self, name: str, step: int, *, group: str = "") -> None:
        """Delete a row."""
        del self.rows[name, group, step]
        self.note()

    def note(self) -> None:
        """Remember the state that begins now."""
        self.history.append((self.clock.now_s(), tuple(self.rows.values())))

    def keep_to(self, cap: Cap | None) -> None:
        """Silently send no more than a cap from now on."""
        self.cap = cap
        self.caps.append((self.clock.now_s(), cap))

    def caps_between(self, earliest_s: float, latest_s: float) -> set[Cap | None]:
        """Return the caps that there were at some moment of a span."""
        begun = [(-math.inf, None), *self.caps]
        first = max(number for number, (since_s, _) in enumerate(begun) if since_s <= earliest_s)
        return {cap for since_s, cap in begun[first:] if since_s <= latest_s}

    def states(self, earliest_s: float, latest_s: float) -> list[State]:
        """Return the states that there were at some moment of a span."""
        begun = [number for number, (since_s, _) in enumerate(self.history) if since_s <= earliest_s]
        first = begun[-1] if begun else 0
        return [state for since_s, state in self.history[first:] if since_s <= latest_s]

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("/auth/validate"):
            return web.json_response({"valid": True, "organization": {"id": "o", "slug": "o"}, "user": {"id": "u"}})
        listing = request.path == "/api/runs/list"
        if listing:
            self.listed += 1
        else:
            self.asked.append(request.raw_path)
        if self.failing or (self.metrics_failing and request.path == "/api/runs/metrics"):
            return web.Response(status=500, text="down")
        if listing:
            return web.json_response(self._running(int(request.query.get("offset", 0)), int(request.query["limit"])))
        if request.path.startswith("/api/runs/details/"):
            return web.json_response(self.details or self.answer_details(int(request.path.rpartition("/")[2])))
        body = (self.instead or self.answer)(request.query) if request.query["runId"] == "1" else b'{"metrics":[]}'
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return web.Response(body=body, content_type="application/json")

    def answer(self, query: Any) -> bytes:
        """Return one of the answers that are permitted now."""
        mine = self.rows.values() if query["projectName"] == "p" else ()
        return next(permitted(mine, asked_of(query), self.cap))

    @property
    def metrics_calls(self) -> int:
        return sum(path.startswith("/api/runs/metrics?") for path in self.asked)

    def answer_details(self, run: int) -> object:
        names = sorted({name for name, _, _ in self.rows}) if run == 1 else []
        listed = [{"logName": name, "logType": "METRIC", "logGroup": None} for name in names]
        if self.names_listed is not None:
            listed = [{"logName": f"n{number}", "logType": "METRIC", "logGroup": None} for number in range(self.names_listed)]
        written_s = self.written_s if self.tells_writes else None
        written = {} if written_s is None else {"updatedAt": iso(written_s)}
        if self.status == "RUNNING":
            self.told = replace(self.told, running_s=self.clock.now_s(), latest_s=None)
        else:
            latest_s = self.status_since_s if written_s is None else max(self.status_since_s, written_s)
            self.told = replace(self.told, latest_s=latest_s)
        return {
            **written,
            "id": run,
            "name": "r",
            "status": self.status,
            "statusUpdated": iso(self.status_since_s),
            "projectName": "p",
            "logNames": listed,
        }

    def say_status(self, status: str, *, at_s: float | None = None) -> None:
        """Take a status as the upstream does: with a time that is told, else now; an end that is said again keeps its own."""
        if at_s is not None or status != self.status or status == "RUNNING":
            self.status_since_s = self.clock.now_s() if at_s is None else at_s
        self.status = status
        self.write_record()

    def write_record(self) -> None:
        """Write to the run's record, which tells when that was."""
        self.written_s = self.clock.now_s()

    def change_status(self, status: str) -> None:
        """Let the run end, or go on."""
        self.status, self.status_since_s = status, self.clock.now_s()

    def _running(self, offset: int, limit: int) -> object:
        lags = self.clock.now_s() < self.status_since_s + self.lag_s
        running = [*self.others, 1] if (self.status == "RUNNING") is not lags else list(self.others)
        now_s = self.clock.now_s()
        self.told = replace(self.told, **({"running_s": now_s} if 1 in running else {"listed_absent_s": now_s}))
        listed = [{"id": run, "name": "r", "status": "RUNNING"} for run in running[offset : offset + limit]]
        return {"runs": listed, "total": len(running)}

    def serve(self) -> AbstractAsyncContextManager[str]:
        return served(self.handle)


def iso(at_s: float) -> str:
    """Return a wall time as runs have theirs."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def asked_of(query: Any) -> Asked:
    """Read a decoded canonical query."""
    return Asked(
        name=query.get("logName") or None,
        group=query.get("logGroup") or None,
        limit=int(query.get("limit", 2000)),
        first=int(query.get("stepMin", 0)),
        last=int(query["stepMax"]) if "stepMax" in query else None,
    )


@asynccontextmanager
async def series_world(folder: Path, **settings: Any) -> AsyncIterator[tuple[World, OracleUpstream]]:
    """Run the proxy with the series engine in front of an oracle."""
    upstream = OracleUpstream(clock=ManualClock())
    async with upstream.serve() as url, proxied(folder, upstream, url, **settings) as running:
        yield running, upstream


@asynccontextmanager
async def proxied(folder: Path, upstream: OracleUpstream, url: str, **settings: Any) -> AsyncIterator[World]:
    """Run the proxy with the series engine in front of an oracle that is being served."""
    # Calls are counted: the shadow would make one of a thousand tests fail.
    settings = {"series__enabled": "true", "series__shadow_s": 0, **settings}
    async with world(folder, upstream=url, clock=upstream.clock, **settings) as running:
        await running.parts.tenancy.settled()
        yield running


def target(raw: str = "") -> str:
    return f"{METRICS}?runId=1&projectName=p" + (f"&{raw}" if raw else "")


async def right(running: World, upstream: OracleUpstream, raw: str = "") -> Reply:
    """Ask, and see to it that the answer is what the upstream says now."""
    reply = await running.get(target(raw))
    assert reply.status == 200, reply.body
    expected = list(permitted(upstream.rows.values(), asked_of(dict(parse_qsl(raw)))))
    assert reply.body in expected
    return reply


@dataclass
class HeldUpstream(OracleUpstream):
    """Answers what `holds` says only once the gate is open; keys that end in B see an organization without rows."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    holds: Callable[[str], bool] = lambda _: False

    async def handle(self, request: web.Request) -> web.Response:
        key = request.headers["Authorization"]
        if request.path.endswith("/auth/validate"):
            return web.json_response({"valid": True, "organization": {"id": key[-1], "slug": "o"}, "user": {"id": "u"}})
        if self.holds(request.raw_path):
            self.arrived.set()
            await until(self.gate)
        if key.endswith("B"):
            return web.json_response({"metrics": []}, dumps=lambda _: '{"metrics":[]}')
        return await super().handle(request)
