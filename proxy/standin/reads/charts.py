"""`multi-metric-batch-bucketed`: several metrics of several runs, in buckets of steps."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxy.standin import jsvalues, querystring, sqids
from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream
from proxy.standin.auth import Key
from proxy.standin.config import KeyOrder
from proxy.standin.integers import unsigned
from proxy.standin.problem import Problem
from proxy.standin.rows import ID_SHIFT
from proxy.standin.runs import parse_display_id

DEFAULT_BUCKETS = 1000
_MOST_NAMED = 200
_LEAST_BUCKETS, _MOST_BUCKETS = 10, 20_000
_NAN, _INFINITE, _MINUS_INFINITE = 1, 2, 4
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MOST_INDEX = 2**32 - 2
_ROWS = """
SELECT step, time, value FROM metrics
WHERE tenant = :tenant AND project = :project AND run_id = :run_id AND log_name = :log_name
    AND step >= :step_min AND step <= :step_max
ORDER BY step, log_group
"""
_Row = tuple[int, str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    organization: str
    project: str
    runs: Sequence[str]
    names: Sequence[str]
    buckets: int
    window: tuple[int, int] | None


def batch_bucketed(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """A map from names to a map from run ids, as they were asked, to columns of buckets; series without rows are left out."""
    wanted = _read(asked)
    if wanted.organization != key.organization.id:
        raise Problem.told("API key does not authorize this organization", 403)
    upstream.materialise()
    numbers = [_resolve(upstream, key, wanted.project, run) for run in wanted.runs]
    # Of several spellings of a run the last one counts.
    spelled = dict(zip(numbers, wanted.runs, strict=True))
    names, runs = list(dict.fromkeys(wanted.names)), list(dict.fromkeys(spelled))
    if upstream.key_order is KeyOrder.OWN:
        names, runs = sorted(names), sorted(runs)
    times = Counter[tuple[str, int]]((name, run) for name in wanted.names for run in numbers)
    found: dict[str, object] = {}
    for name in names:
        by_run = {}
        for run in runs:
            rows = _rows(upstream, key, wanted, name, run)
            if rows:
                by_run[spelled[run]] = _columns(rows, wanted, times=1 if wanted.window else times[name, run])
        # An assignment to this name makes no property.
        if by_run and name != "__proto__":
            found[name] = _listed(by_run)
    return json_answer(_listed(found))


def _read(asked: Asked) -> _Input:
    texts = querystring.decode(asked.query).get("input", [""])
    if not texts[0]:
        raise Problem.told("Missing input parameter")
    try:
        return _parse(texts[0])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Problem.told("Invalid input") from None


def _parse(text: str) -> _Input:
    given = jsvalues.parse(text)
    buckets = _whole(given, "buckets", _LEAST_BUCKETS, _MOST_BUCKETS)
    step_min, step_max = _whole(given, "stepMin", 0, math.inf), _whole(given, "stepMax", 0, math.inf)
    return _Input(
        organization=_text(given["organizationId"]),
        project=_text(given["projectName"]),
        runs=_texts(given["runIds"]),
        names=_texts(given["logNames"]),
        buckets=DEFAULT_BUCKETS if buckets is None else int(buckets),
        window=None if step_min is None or step_max is None else (unsigned(step_min), unsigned(step_max)),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_NAMED:
        raise TypeError
    return [_text(member) for member in value]


def _whole(given: dict[str, object], name: str, least: float, most: float) -> float | None:
    if name not in given:
        return None
    number = given[name]
    if not isinstance(number, float) or not number.is_integer() or not least <= number <= most:
        raise TypeError
    return number


def _resolve(upstream: Upstream, key: Key, project: str, run: str) -> int:
    """A run's number: display ids are looked for in the project, any other text is a sqid. What is neither is a 500."""
    if parsed := parse_display_id(run):
        for candidate in upstream.catalogue.runs(key.organization.id, project):
            if (candidate.prefix, candidate.number) == parsed:
                return candidate.id
        raise Problem.internal()
    number = sqids.decode_first(run)
    if number is None:
        raise Problem.internal()
    return number


def _rows(upstream: Upstream, key: Key, wanted: _Input, name: str, run: int) -> list[_Row]:
    least, most = wanted.window or (0, 2**64 - 1)
    values: dict[str, str | int] = {
        "tenant": key.organization.id,
        "project": wanted.project,
        "run_id": run - ID_SHIFT,
        "log_name": name.encode("utf-8", "replace").decode(),
        "step_min": least - ID_SHIFT,
        "step_max": most - ID_SHIFT,
    }
    return [(step + ID_SHIFT, time, value) for step, time, value in upstream.rows.fetch(_ROWS, values)]


def _columns(rows: Sequence[_Row], wanted: _Input, *, times: int) -> dict[str, list[object]]:
    """The buckets of a series, a column each. `times`: how often each row is counted."""
    least, most = wanted.window or (rows[0][0], rows[-1][0])
    width = max(1, (most - least + 1) // wanted.buckets)
    buckets: dict[int, list[_Row]] = {}
    for row in rows:
        buckets.setdefault((row[0] - least) // width, []).append(row)
    columns: dict[str, list[object]] = {
        name: [] for name in ("steps", "times", "values", "minYs", "maxYs", "counts", "nfFlags")
    }
    for number, inside in buckets.items():
        finite = [value for _, _, value in inside if value is not None and math.isfinite(value)]
        columns["steps"].append(least + number * width)
        columns["times"].append(inside[0][1])
        columns["values"].append(sum(finite) / len(finite) if finite else None)
        columns["minYs"].append(min(finite, default=None))
        columns["maxYs"].append(max(finite, default=None))
        columns["counts"].append(len(inside) * times)
        columns["nfFlags"].append(_flags(value for _, _, value in inside))
    return columns


def _flags(values: Iterable[float | None]) -> int:
    flags = 0
    for value in values:
        if value is None:
            flags |= _NAN
        elif math.isinf(value):
            flags |= _INFINITE if value > 0 else _MINUS_INFINITE
    return flags


def _listed(members: Mapping[str, object]) -> dict[str, object]:
    """An object's members as JavaScript lists them: array indices first, upwards."""
    indices = sorted((name for name in members if _INDEX.fullmatch(name) and int(name) <= _MOST_INDEX), key=int)
    return {name: members[name] for name in [*indices, *(name for name in members if name not in indices)]}
