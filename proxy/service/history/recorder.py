"""The points of the last hour: made each ten seconds, held in memory, and kept in the cache file over restarts.

The file has them as one entry, which is written each minute, and at the end, once it was read. While it cannot be written,
nothing is lost but what a restart would have found there.
"""

import asyncio
from collections import deque
from collections.abc import Mapping

import msgspec
import structlog

from proxy.clock import Clock
from proxy.core.budget import Priority
from proxy.core.freshness.entry import Entry, digest_of
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.history.point import Point
from proxy.service.history.quantiles import quantile_s
from proxy.service.history.totals import Totals, totals
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.checks import Checks
from proxy.service.statuses import Statuses
from proxy.service.watching.watching import Watching
from proxy.store import UnreadError
from proxy.store.tiers import TieredStore
from proxy.telemetry import CALL_BOUNDS_S, REQUEST_BOUNDS_S, Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import Turnstile

EVERY_S = 10.0
KEPT_S = 3600.0
_MOST = int(KEPT_S / EVERY_S)
_POINTS_A_WRITE = 6
# It is the process's own, whatever key it has: no namespace of a key looks like that.
NAMESPACE, KEY = "proxy", "history"
_points = msgspec.json.Decoder(list[Point])
_log = structlog.get_logger()


class History:
    """Records what the proxy does."""

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        fetcher: Fetcher,
        statuses: Statuses,
        upstream: Upstream,
        turnstile: Turnstile,
        store: TieredStore,
        shelves: Shelves,
        checks: Checks,
        watching: Watching,
        clock: Clock,
    ) -> None:
        self._telemetry = telemetry
        self._fetcher = fetcher
        self._statuses = statuses
        self._upstream = upstream
        self._turnstile = turnstile
        self._store = store
        self._shelves = shelves
        self._checks = checks
        self._watching = watching
        self._clock = clock
        self._held: deque[Point] = deque(maxlen=_MOST)
        self._before, self._before_s = self._totals(), clock.monotonic_s()
        self._unwritten = 0
        self._is_read = False

    def since(self, at_s: float) -> list[Point]:
        """Return the points of the last hour that ended after a wall time, in order."""
        at_s = max(at_s, self._clock.now_s() - KEPT_S)
        return [point for point in self._held if point.at_s > at_s]

    async def open(self) -> None:
        """Read what an earlier process left. Where the disk cannot be read, it is read later. Never raises."""
        try:
            entry = await self._store.disk.read(NAMESPACE, KEY)
        except UnreadError:
            return
        self._is_read = True
        if entry is not None:
            self.take_in(entry)

    async def _open_late(self) -> None:
        """Read what could not be read before. Until it was, it must not be written over."""
        if not self._is_read:
            await self.open()

    def take_in(self, entry: Entry) -> None:
        """Add the points that another process wrote, as far as they are not held."""
        try:
            left = _points.decode(entry.body)
        except msgspec.DecodeError as exc:
            _log.warning("history.unreadable", reason=str(exc))
            return
        now_s = self._clock.now_s()
        held = {point.at_s for point in self._held}
        new = [point for point in left if now_s - KEPT_S < point.at_s <= now_s and point.at_s not in held]
        self._held = deque(sorted([*self._held, *new], key=lambda point: point.at_s), maxlen=_MOST)

    async def run(self) -> None:
        """Make a point of each interval until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self._open_late()
            try:
                self.record()
            except Exception:  # noqa: BLE001 -- nobody is to go without an answer because of it
                _log.exception("history.crashed")

    def record(self) -> None:
        """Make a point of the time since the last one, and write all of them now and then."""
        now, now_s = self._totals(), self._clock.monotonic_s()
        self._held.append(self._point(now.since(self._before), now_s - self._before_s))
        self._before, self._before_s = now, now_s
        self._unwritten += 1
        if self._unwritten >= _POINTS_A_WRITE:
            self._write()

    async def aclose(self) -> None:
        """Record what is left, and write it."""
        await self.write()

    async def write(self) -> None:
        """Record what is left, and write it."""
        self.record()
        await self._open_late()
        self._write()

    def entry(self) -> Entry:
        """Return the points as they are written."""
        body = msgspec.json.encode(list(self._held))
        return Entry(body=body, sent_at_s=self._clock.now_s(), digest=digest_of(body))

    def _write(self) -> None:
        if not self._is_read:
            return
        self._unwritten = 0
        self._store.disk.put(NAMESPACE, KEY, self.entry())

    def _totals(self) -> Totals:
        reasons = {reason.value: count for reason, count in self._fetcher.series_calls.items()}
        return totals(self._telemetry, {**reasons, "status": self._statuses.calls.total()})

    def _point(self, done: Totals, span_s: float) -> Point:
        turnstile, memory, disk = self._turnstile, self._store.memory, self._store.disk
        sizes = disk.sizes
        return Point(
            at_s=self._clock.now_s(),
            span_s=round(span_s, 3),
            hits=done.requests.get("hit", 0),
            computed=done.requests.get("series", 0),
            stale=done.requests.get("stale", 0),
            collapsed=done.requests.get("collapsed", 0),
            misses=done.requests.get("miss", 0),
            errors=done.errors,
            calls=done.calls,
            calls_by_result=dict(done.results),
            calls_by_reason=_with_others(done.reasons, done.calls),
            calls_saved=max(0, done.answers - done.calls),
            p50_ms=_ms(quantile_s(REQUEST_BOUNDS_S, done.durations, 0.5)),
            p99_ms=_ms(quantile_s(REQUEST_BOUNDS_S, done.durations, 0.99)),
            call_p50_ms=_ms(quantile_s(CALL_BOUNDS_S, done.call_durations, 0.5)),
            call_p99_ms=_ms(quantile_s(CALL_BOUNDS_S, done.call_durations, 0.99)),
            body_bytes=done.body_bytes,
            condition=self._upstream.condition().value,
            rate_per_s=round(turnstile.rate_per_s, 3),
            budget=round(turnstile.tokens, 2),
            in_flight=turnstile.in_flight,
            waiting={priority.name.lower(): turnstile.waiting(priority) for priority in Priority},
            wait_s=round(turnstile.wait_s(Priority.PERSON), 3),
            memory_bytes=memory.size_bytes,
            memory_entries=memory.entries,
            series_bytes=self._shelves.size_bytes,
            disk_bytes=sizes.file_bytes,
            disk_log_bytes=sizes.log_bytes,
            disk_entries=sizes.entries,
            disk_ok=disk.health is None,
            rule_holds=self._checks.trusted,
            streams=self._watching.clients,
            watched=self._watching.series,
        )


def _with_others(reasons: Mapping[str, int], calls: int) -> dict[str, int]:
    """Return calls by reason with those that none of the reasons is for."""
    others = calls - sum(reasons.values())
    return {**reasons, **({"other": others} if others > 0 else {})}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
