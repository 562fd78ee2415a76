"""The `sort` of `list`: which order is meant, and the runs in it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.standin.filters.fieldvalues import SOURCES, FieldValue, field_values
from proxy.standin.problem import Problem
from proxy.standin.runs import Run, RunStatus

_COLUMNS: dict[str, Callable[[Run], str | int]] = {
    "createdAt": lambda run: round(run.created_at_s * 1000),
    "updatedAt": lambda run: round(run.updated_at_s * 1000),
    "name": lambda run: run.name,
    "status": lambda run: list(RunStatus).index(run.status),
}
_ALIASES = {"created_at": "createdAt", "updated_at": "updatedAt"}
_HEARTBEATS = ("heartbeat_at", "heartbeatAt", "heartbeat")
_METRIC = "summary_metrics."
_ALLOWED = (
    "createdAt, updatedAt, name, status, heartbeat_at, config.<key>.value, systemMetadata.<key>.value, summary_metrics.<name>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`kind` is column, heartbeat, metric, config or systemMetadata; `key` says which of that kind."""

    kind: str
    key: str = ""
    descending: bool = False


def parse(text: str) -> Order:
    """A `sort` parameter; empty for the default, newest first. Raises Problem (400) for an unknown field."""
    if not text:
        return Order(kind="column", key="createdAt", descending=True)
    descending = text.startswith("-")
    field = text[1:] if text.startswith(("-", "+")) else text
    source, dot, key = field.partition(".")
    if dot and source in SOURCES:
        key = key.removesuffix(".value")
        if not key:
            raise Problem.told(f"invalid sort field '{field}'; expected {source}.<key>.value")
        return Order(kind=source, key=key, descending=descending)
    if field.startswith(_METRIC):
        if field == _METRIC:
            raise Problem.told(f"invalid sort field '{field}'; expected {_METRIC}<name>")
        return Order(kind="metric", key=field.removeprefix(_METRIC), descending=descending)
    if field in _HEARTBEATS:
        return Order(kind="heartbeat", descending=descending)
    column = _ALIASES.get(field, field)
    if column not in _COLUMNS:
        raise Problem.told(f"invalid sort field '{field}'; allowed: {_ALLOWED}")
    return Order(kind="column", key=column, descending=descending)


def in_order(runs: Sequence[Run], order: Order, values: Mapping[int, float]) -> list[Run]:
    """The runs in an order; `values` are the metric's, or the heartbeats: runs without one are left out."""
    match order.kind:
        case "column":
            return sorted(runs, key=lambda run: (_COLUMNS[order.key](run), run.id), reverse=order.descending)
        case "metric" | "heartbeat":
            known = sorted((run for run in runs if run.id in values), key=lambda run: run.id)
            return sorted(known, key=lambda run: _number_place(values[run.id], order))
        case source:
            newest = sorted(runs, key=lambda run: (-run.created_at_s, run.id))
            fields = {run.id: field_values(run, source).get(order.key) for run in runs}
            by_text = sorted(newest, key=lambda run: _text(fields[run.id]), reverse=order.descending)
            by_text.sort(key=lambda run: not _text(fields[run.id]))
            return sorted(by_text, key=lambda run: _number_place(_number(fields[run.id]), order))


def _number_place(number: float, order: Order) -> tuple[bool, float]:
    """What isn't a number comes last either way."""
    return (True, 0.0) if math.isnan(number) else (False, -number if order.descending else number)


def _number(value: FieldValue | None) -> float:
    return math.nan if value is None or value.number is None else value.number


def _text(value: FieldValue | None) -> str:
    return "" if value is None else value.text or ""
