"""Conditions on one field in the `filter` of `list`: each selects the ids of runs in scope."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.standin.filters.fieldvalues import SOURCES, FieldTerm
from proxy.standin.filters.moments import best_effort_s, javascript_date_s
from proxy.standin.jsvalues import to_number, to_string
from proxy.standin.problem import Problem
from proxy.standin.runs import Run, RunStatus

_LEAF_OPERATORS = {"$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"}
_STATES = {
    "running": RunStatus.RUNNING,
    "finished": RunStatus.COMPLETED,
    "completed": RunStatus.COMPLETED,
    "failed": RunStatus.FAILED,
    "crashed": RunStatus.FAILED,
    "killed": RunStatus.TERMINATED,
    "terminated": RunStatus.TERMINATED,
    "preempted": RunStatus.CANCELLED,
    "cancelled": RunStatus.CANCELLED,
    "canceled": RunStatus.CANCELLED,
}
# What an operator is called in a term on a field.
_FIELD_NUMBERS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FIELD_EQUALITY = {"$ne": "is not", "$eq": "is"}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "$eq": lambda left, right: left == right,
    "$ne": lambda left, right: left != right,
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
}
Operators = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The runs to select from, and what is known of them.

    `heartbeats` and `last_values(metric)` are by run id, and asked for only if the filter has such a condition;
    without a project they must not be.
    """

    runs: Sequence[Run]
    project: str | None
    heartbeats: Callable[[], Mapping[int, float]]
    last_values: Callable[[str], Mapping[int, float]]

    def where(self, condition: Callable[[Run], bool]) -> set[int]:
        """The ids of the runs that satisfy a condition."""
        return {run.id for run in self.runs if condition(run)}


def leaf(field: str, value: object, scope: Scope) -> set[int]:
    """The runs that a field's condition selects. Raises Problem (400) for a field or an operator that there isn't."""
    source, dot, key = field.partition(".")
    if dot and key and source in SOURCES:
        return _field(source, key, _operators(value), scope)
    if dot and key and source in ("summaryMetrics", "summary_metrics"):
        return _metric(key, _operators(value), scope)
    match field:
        case "state" | "status":
            return _status(_operators(value), scope)
        case "heartbeat_at" | "heartbeatAt":
            return _heartbeat(_operators(value), scope)
        case "created_at" | "createdAt":
            return _timestamp("createdAt", lambda run: run.created_at_s, _operators(value), scope)
        case "updated_at" | "updatedAt":
            return _timestamp("updatedAt", lambda run: run.updated_at_s, _operators(value), scope)
        case "name" | "displayName" | "display_name":
            return _name(_operators(value), scope)
        case "tags":
            return _tags(_operators(value), scope)
        case _:
            raise Problem.told(f"unknown filter field: {field}")


def _operators(value: object) -> Operators:
    """A bare value stands for `$eq`."""
    if not isinstance(value, dict) or not any(name.startswith("$") for name in value):
        return {"$eq": value}
    for name in value:
        if name not in _LEAF_OPERATORS:
            raise Problem.told(f"unknown leaf operator: {name}")
    return value


def _unsupported(field: str, operators: Operators) -> Problem:
    return Problem.told(f"unsupported operator for {field}: {','.join(operators)}")


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _first(operators: Operators, names: Sequence[str], field: str) -> str:
    """The operator that counts where only one does."""
    for name in names:
        if name in operators:
            return name
    raise _unsupported(field, operators)


def _status(operators: Operators, scope: Scope) -> set[int]:
    name = _first(operators, ("$in", "$nin", "$ne", "$eq"), "status")
    states = _listed(operators[name]) if name in ("$in", "$nin") else [operators[name]]
    wanted = [_state(value) for value in states]
    return scope.where(lambda run: (run.status in wanted) is (name in ("$in", "$eq")))


def _state(value: object) -> RunStatus:
    text = to_string(value)
    state = _STATES.get(text.lower())
    if state is None:
        raise Problem.told(f"unknown run state: {text}")
    return state


def _heartbeat(operators: Operators, scope: Scope) -> set[int]:
    """Both bounds are inclusive, however they are written."""
    _require_project("heartbeat_at", scope)
    after = operators.get("$gte", operators.get("$gt"))
    before = operators.get("$lte", operators.get("$lt"))
    if after is None and before is None:
        raise Problem.told("heartbeat_at needs a $gt/$gte/$lt/$lte bound")
    return beating_within(
        scope.heartbeats(),
        after=None if after is None else to_string(after),
        before=None if before is None else to_string(before),
    )


def beating_within(heartbeats: Mapping[int, float], *, after: str | None, before: str | None) -> set[int]:
    """The runs whose last row lies within two moments, both of them included."""
    first_s, last_s = (None if text is None else best_effort_s(text) for text in (after, before))
    return {
        run_id
        for run_id, beat_s in heartbeats.items()
        if (first_s is None or beat_s >= first_s) and (last_s is None or beat_s <= last_s)
    }


def _timestamp(name: str, time_of: Callable[[Run], float], operators: Operators, scope: Scope) -> set[int]:
    bounds = [
        (_COMPARISONS[operator], round(javascript_date_s(to_string(value)) * 1000))
        for operator, value in operators.items()
        if operator in ("$eq", "$gt", "$gte", "$lt", "$lte")
    ]
    if not bounds:
        raise _unsupported(name, operators)
    return scope.where(lambda run: all(compare(round(time_of(run) * 1000), bound) for compare, bound in bounds))


def _name(operators: Operators, scope: Scope) -> set[int]:
    """`$regex` is a part of the name, whatever the case; no regular expression."""
    name = _first(operators, ("$eq", "$ne", "$regex"), "name")
    wanted = to_string(operators[name])
    if name == "$regex":
        return scope.where(lambda run: wanted.lower() in run.name.lower())
    return scope.where(lambda run: (run.name == wanted) is (name == "$eq"))


def _tags(operators: Operators, scope: Scope) -> set[int]:
    name = _first(operators, ("$in", "$eq"), "tags")
    wanted = set(map(to_string, _listed(operators[name]) if name == "$in" else [operators[name]]))
    return scope.where(lambda run: not wanted.isdisjoint(run.tags))


def _field(source: str, key: str, operators: Operators, scope: Scope) -> set[int]:
    terms = [term for name, value in operators.items() for term in _field_term(source, key, name, value)]
    return scope.where(lambda run: all(term.fits(run) for term in terms))


def _field_term(source: str, key: str, name: str, value: object) -> list[FieldTerm]:
    data_type, operator, values = "text", "", (value,)
    if name in _FIELD_NUMBERS:
        data_type, operator = "number", _FIELD_NUMBERS[name]
    elif name == "$regex":
        operator = "regex"
    elif name in ("$in", "$nin"):
        data_type, operator = "option", "is any of" if name == "$in" else "is none of"
        values = (_listed(value),)
    else:
        operator = _FIELD_EQUALITY[name]
        data_type = "number" if _is_numeric(value) else "text"
        values = (value if data_type == "number" else to_string(value),)
    return [FieldTerm(source=source, key=key, data_type=data_type, operator=operator, values=values)]


def _is_numeric(value: object) -> bool:
    if isinstance(value, str):
        return value.strip() != "" and not math.isnan(to_number(value))
    return isinstance(value, float)


def _metric(key: str, operators: Operators, scope: Scope) -> set[int]:
    """On the last value of a series; runs without it are left out, and a bound that is no number asks for nothing."""
    _require_project("summaryMetrics.*", scope)
    bounds = [(_COMPARISONS[name], to_number(value)) for name, value in operators.items() if name in _COMPARISONS]
    if not bounds:
        raise _unsupported("summaryMetrics", operators)
    bounds = [(compare, bound) for compare, bound in bounds if not math.isnan(bound)]
    if not bounds:
        return set()
    found = scope.last_values(key)
    return {run_id for run_id, value in found.items() if all(compare(value, bound) for compare, bound in bounds)}


def _require_project(field: str, scope: Scope) -> None:
    if not scope.project:
        raise Problem.told(f"filtering on {field} requires projectName")
