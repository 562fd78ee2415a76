"""An event stream: a response whose body goes on until its client goes, its token is no longer good, or the process ends."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import structlog
from aiohttp import web

from proxy.clock import Clock
from proxy.core.question.form import shown
from proxy.errors import Draining, ProxyError
from proxy.service.watching.subscription import Subscription
from proxy.service.watching.troubles import Trouble
from proxy.service.watching.values import Series, SeriesState
from proxy.service.watching.watching import Watching
from proxy.web.gate.guard import Guard, Visit
from proxy.web.pages.view.streams import Streams
from proxy.web.reply.server_sent import HEARTBEAT, event

# How often, in seconds, it is looked whether the token is still good. Its file is looked at as often (`service.access.tokens`).
LOOK_S = 0.25
HEARTBEAT_S = 15.0
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What a client wants to be told.

    - `series`: those that it watches. `client`: whose stream it is.
    - `stem`: what the ids of its events begin with. `since`: the number of the last change that it was told of, None for none.
    - `visit`: how its request was judged.
    """

    series: tuple[Series, ...]
    client: str
    stem: str
    since: int | None
    visit: Visit
    request_id: str


class EventStream(web.StreamResponse):
    """Writes events as its body."""

    def __init__(
        self, request: web.BaseRequest, watch: Watch, *, watching: Watching, streams: Streams, guard: Guard, clock: Clock
    ) -> None:
        super().__init__()
        self._request = request
        self._watch = watch
        self._watching = watching
        self._streams = streams
        self._guard = guard
        self._clock = clock
        self._events = 0

    async def write_eof(self, data: bytes = b"") -> None:
        """Write events until the stream ends, then the end of the body. A HEAD gets none."""
        if self._request.method != "HEAD":
            await self._stream()
        await super().write_eof(data)

    async def _stream(self) -> None:
        watch, began_s, reason = self._watch, self._clock.monotonic_s(), "client-gone"
        with (
            self._watching.watch(watch.series, client=watch.client) as subscription,
            self._streams.opened(watch.client, subscription),
        ):
            try:
                reason = await self._tell(subscription)
            finally:
                # At its end, once: how long it went on is known then.
                _log.info(
                    "stream.ended",
                    reason=reason,
                    series=len(watch.series),
                    events=self._events,
                    duration_s=round(self._clock.monotonic_s() - began_s, 1),
                    request_id=watch.request_id,
                    **({"token": shown(watch.visit.grant.name)} if watch.visit.grant.name else {}),
                )

    async def _tell(self, subscription: Subscription) -> str:
        """Write events for as long as the client may have them. Return the code of what ended it."""
        await self._tell_state(subscription)
        told_s, trouble = self._clock.monotonic_s(), None
        while (end := self._end()) is None:
            # A client that doesn't read is told nothing more: the connection ends it (`web.connection.server`). What it is
            # still to be told is no more than a state of each series.
            if self._is_read():
                events = self._rows(self._watching.take_changes(subscription))
                now = self._watching.trouble(subscription)
                events += self._troubles(trouble, now)
                trouble = now
                if not events and self._clock.monotonic_s() - told_s >= HEARTBEAT_S:
                    events = [HEARTBEAT]
                if events:
                    await self.write(b"".join(events))
                    told_s = self._clock.monotonic_s()
            await subscription.wait(LOOK_S)
        await self.write(self._event("ended", _problem(end)))
        return end.code

    async def _tell_state(self, subscription: Subscription) -> None:
        subscription.take()
        number, since = self._watching.number, self._watch.since
        # A number that is yet to come is of a client that makes ids up.
        known = since is not None and since <= number
        states = self._watching.states(subscription, since=since if since is not None and known else -1)
        data = {"series": [_row(series, state) for series, state in states]}
        await self.write(self._event("state", data, number=number))

    def _rows(self, changes: Iterable[tuple[Series, SeriesState]]) -> list[bytes]:
        return [self._event("rows", _row(series, state), number=state.number) for series, state in changes]

    def _troubles(self, before: Trouble | None, now: Trouble | None) -> list[bytes]:
        if now == before:
            return []
        return [self._event("fine", {}) if now is None else self._event("trouble", asdict(now))]

    def _event(self, name: str, data: object, *, number: int | None = None) -> bytes:
        self._streams.count(name)
        self._events += 1
        return event(name, data, event_id=None if number is None else f"{self._watch.stem}-{number}")

    def _end(self) -> ProxyError | None:
        """Return why the stream must end now, None where it may go on."""
        if self._streams.draining:
            return Draining("the proxy is ending; connect again in a moment")
        try:
            self._guard.judge_again(self._request, self._watch.visit)
        except ProxyError as exc:
            return exc
        return None

    def _is_read(self) -> bool:
        transport = self._request.transport
        return transport is not None and not transport.get_write_buffer_size()


def _row(series: Series, state: SeriesState) -> dict[str, object]:
    return {"run": series.run, "metric": series.metric, "version": state.version, "through": state.through}


def _problem(error: ProxyError) -> dict[str, object]:
    return {"code": error.code, "title": error.title, "detail": error.detail}
