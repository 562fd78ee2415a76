"""Writes down what becomes of requests: the log, the metrics, and what each token uses."""

import asyncio
from collections.abc import Callable
from functools import partial

import structlog
from aiohttp import web

from proxy.clock import Clock
from proxy.core.question.form import shown
from proxy.core.question.query import Query
from proxy.errors import ProxyError
from proxy.service.answer import Answer
from proxy.telemetry import Telemetry, Usage, caused_by
from proxy.web.accounting.busiest import Busiest
from proxy.web.accounting.context import RequestContext
from proxy.web.accounting.ids import RequestIds
from proxy.web.accounting.summary import AnswerSummary, is_ordinary
from proxy.web.gate.guard import Visit

_log = structlog.get_logger()


class Accounting:
    """Accounts for each request once: as a hit of the shortcut, as unreadable, or from `begin` to `end`."""

    def __init__(
        self, *, clock: Clock, ids: RequestIds, telemetry: Telemetry, usage: Usage, summary: AnswerSummary, busiest: Busiest
    ) -> None:
        self._clock = clock
        self._ids = ids
        self._telemetry = telemetry
        self._usage = usage
        self._summary = summary
        self._busiest = busiest

    def begin(self, request: web.BaseRequest, visit: Visit) -> RequestContext:
        """Return the context of a request. Calls to the upstream that the current task makes are its token's from now on."""
        caused_by.set(visit.grant.name)
        return RequestContext(
            request=request, visit=visit, request_id=self._ids.of(request), started_s=self._clock.monotonic_s()
        )

    def answered(self, context: RequestContext, query: Query, answer: Answer, *, not_modified: bool) -> None:
        """Count an answer. Ordinary answers are summed up in the log, others have a line each."""
        context.ended(answer.outcome.kind)
        duration_s = self._duration_s(context)
        _later(partial(self._count_answer, context, query, answer, duration_s, not_modified=not_modified))

    def refused(self, context: RequestContext, error: ProxyError) -> None:
        """Count and log a request that gets an error."""
        context.ended(error.code)
        _later(partial(self._count_error, context, error, self._duration_s(context)))

    def end(self, context: RequestContext, response: web.StreamResponse) -> None:
        """Count the request and the bytes of its body for its token."""
        empty = context.request.method == "HEAD" or response.status == 304
        body_bytes = 0 if empty else response.content_length or 0
        self._usage.note(context.visit.grant.name, context.outcome, body_bytes)

    def hits(
        self, query: Query, token: str, *, times: int, duration_s: float, age_s: float, body_bytes: int, not_modified: bool
    ) -> None:
        """Count so many hits of a token that the shortcut answered: `answered` and `end` in one.

        They are alike: each took `duration_s`, was `age_s` old at most, and had a body of `body_bytes`.
        """
        self._busiest.note(query.target, times=times)
        self._telemetry.count_answer(query.route.name, "hit", duration_s, stale=None, not_modified=not_modified, times=times)
        self._usage.note(token, "hit", body_bytes, times=times)
        self._summary.note("hit", duration_s, age_s, not_modified=not_modified, times=times)

    def id_of(self, request: web.BaseRequest) -> str:
        """Return the id of a request for which no context is begun."""
        return self._ids.of(request)

    def unreadable(self, error: ProxyError) -> None:
        """Count a request that could not be parsed, or whose handler failed."""
        self._telemetry.count_error("none", error.code, 0.0)

    def _duration_s(self, context: RequestContext) -> float:
        return self._clock.monotonic_s() - context.started_s

    def _count_answer(
        self, context: RequestContext, query: Query, answer: Answer, duration_s: float, *, not_modified: bool
    ) -> None:
        outcome = answer.outcome
        self._busiest.note(query.target)
        self._telemetry.count_answer(context.route, outcome.kind, duration_s, stale=outcome.stale, not_modified=not_modified)
        if is_ordinary(outcome, answer.entry.status):
            self._summary.note(outcome.kind, duration_s, answer.age_s, not_modified=not_modified)
            return
        _log_finished(
            context,
            duration_s,
            status=answer.entry.status,
            outcome=outcome.kind,
            **({} if outcome.stale is None else {"stale": outcome.stale}),
            age_s=round(answer.age_s, 3),
            **({} if answer.whole_age_s is None else {"whole_age_s": round(answer.whole_age_s, 3)}),
            **({} if outcome.made is None else {"made": outcome.made.value}),
            upstream_ms=None if answer.upstream_s is None else round(answer.upstream_s * 1000, 1),
            key=query.target,
        )

    def _count_error(self, context: RequestContext, error: ProxyError, duration_s: float) -> None:
        self._telemetry.count_error(context.route, error.code, duration_s)
        _log_finished(context, duration_s, status=error.status, outcome=error.code, reason=error.detail)


def _later(count: Callable[[], None]) -> None:
    """Have something counted and logged when the event loop comes round, before anything else that comes in.

    It takes some 30 us, and the answer needn't wait for it.
    """
    asyncio.get_running_loop().call_soon(count)


def _log_finished(context: RequestContext, duration_s: float, **fields: object) -> None:
    """Write a request's line of the log."""
    by = {"token": shown(context.visit.grant.name)} if context.visit.grant.name else {}
    fields = {**fields, **by, "duration_ms": round(duration_s * 1000, 1), "request_id": context.request_id}
    _log.info("request.finished", route=context.route, **fields)
