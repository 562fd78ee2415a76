"""What the stand-in saw and sent, for tests to look at."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_CALLS = 10_000
MAX_HEADERS = 200


@dataclass(slots=True, kw_only=True)
class Call:
    """One request. `query` is raw, None without a `?`; times are monotonic; `status` is None until headers go out."""

    method: str
    path: str
    query: str | None
    started_s: float
    status: int | None = None
    rows: int = 0
    body_bytes: int = 0
    ended_s: float | None = None


class Counters:
    """Totals since the start or the last reset, and the last calls (10,000) and their headers (200).

    A call counts when it arrives, its status when the answer's headers go out: a call without one is held, hangs, or
    was cut off before them.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: list[tuple[Callable[[Counters], bool], asyncio.Future[None]]] = []
        self.in_flight = 0
        self.reset()

    async def reached(self, condition: Callable[["Counters"], bool]) -> None:
        """Wait until the condition holds; it is looked at whenever a call arrives, is answered or ends."""
        if condition(self):
            return
        entry = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(entry)
        try:
            await entry[1]
        finally:
            self._waiting.remove(entry)

    def _changed(self) -> None:
        for condition, future in self._waiting:
            if not future.done() and condition(self):
                future.set_result(None)

    def reset(self) -> None:
        """Start all totals again; calls under way stay in flight."""
        self.total = 0
        self.max_concurrent = self.in_flight
        self.rate_limited = 0
        self.rows_sent = 0
        self.bytes_sent = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        self.headers: deque[dict[str, str]] = deque(maxlen=MAX_HEADERS)

    def begin(self, method: str, path: str, query: str | None, headers: Mapping[str, str]) -> Call:
        """A request came in; header names are kept in lower case."""
        call = Call(method=method, path=path, query=query, started_s=self._monotonic())
        self.total += 1
        self.by_path[path] += 1
        self.calls.append(call)
        self.headers.append({name.lower(): value for name, value in headers.items()})
        self.in_flight += 1
        self.max_concurrent = max(self.max_concurrent, self.in_flight)
        self._changed()
        return call

    def answered(self, call: Call, status: int, rows: int) -> None:
        """The answer's headers go out."""
        call.status = status
        call.rows = rows
        self.by_status[status] += 1
        self.rows_sent += rows
        self._changed()

    def sent(self, call: Call, body_bytes: int) -> None:
        """Bytes of a body, as encoded, went out."""
        call.body_bytes += body_bytes
        self.bytes_sent += body_bytes

    def end(self, call: Call) -> None:
        """The request is over, one way or another."""
        call.ended_s = self._monotonic()
        self.in_flight -= 1
        self._changed()

    @property
    def queries(self) -> list[str]:
        """The raw queries of the last calls, in order of arrival; empty texts for none."""
        return [call.query or "" for call in self.calls]

    @property
    def by_query(self) -> Counter[str]:
        """How often each raw query came, among the last calls."""
        return Counter(self.queries)

    def as_json(self) -> dict[str, object]:
        """All of it, as the control surface shows it: no values of Authorization headers."""
        return {
            "total": self.total,
            "in_flight": self.in_flight,
            "max_concurrent": self.max_concurrent,
            "rate_limited": self.rate_limited,
            "rows_sent": self.rows_sent,
            "bytes_sent": self.bytes_sent,
            "by_path": dict(self.by_path),
            "by_status": {str(status): count for status, count in sorted(self.by_status.items())},
            "by_fault": dict(self.by_fault),
            "by_query": dict(self.by_query),
            "started_s": [call.started_s for call in self.calls],
        }
