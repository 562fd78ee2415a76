"""What an upstream's call was for, told by its question alone: who counts the calls need not believe what the proxy says."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.bench.bodies import METRICS_PATH
from tests.bench.growing.history import DEFAULT_LIMIT
from tests.bench.growing.origin import PROJECT
from tests.bench.replay.script import Question

MOST = 10_000
Parameters = frozenset[tuple[str, str]]


class Kind(StrEnum):
    """STATUS: not about rows. AS_ASKED: as a client asked it, for its answer or as a check of the rule. TAIL: the newest rows.

    WINDOW: as many rows as an answer can have, from anywhere. PROBE: anything else, such as what proves an answer whole.
    """

    STATUS = "status"
    AS_ASKED = "as asked"
    TAIL = "tail"
    WINDOW = "window"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; `at_s` is its upstream's monotonic clock."""

    kind: Kind
    at_s: float
    rows: int
    body_bytes: int


def target_of(question: Question) -> str:
    """Return the path and query that ask a question."""
    return f"{METRICS_PATH}?{urlencode(sorted(parameters_of(question)), safe='/')}"


def parameters_of(question: Question) -> Parameters:
    """Return what tells a question from others, the limit in any case."""
    given = {
        "runId": question.run,
        "projectName": PROJECT,
        "logName": question.name,
        "logGroup": question.group,
        "limit": DEFAULT_LIMIT if question.limit is None else question.limit,
        "stepMin": question.first,
        "stepMax": question.last,
    }
    return frozenset((name, str(value)) for name, value in given.items() if value is not None)


def read_calls(told: bytes, asked: Collection[Parameters], *, tail_rows: int) -> list[Call]:
    """Return the calls that `/_standin/calls` tells.

    `asked`: what clients asked. From a step on, without an end, at most `tail_rows` rows are the newest.
    """
    given: Sequence[dict[str, Any]] = json.loads(told)
    return [
        Call(kind=_kind(one, asked, tail_rows), at_s=one["started_s"], rows=one["rows"], body_bytes=one["body_bytes"])
        for one in given
    ]


def _kind(call: dict[str, Any], asked: Collection[Parameters], tail_rows: int) -> Kind:
    if call["path"] != METRICS_PATH:
        return Kind.STATUS
    pairs = {"limit": str(DEFAULT_LIMIT)} | dict(parse_qsl(call["query"] or ""))
    if frozenset(pairs.items()) in asked:
        return Kind.AS_ASKED
    if int(pairs["limit"]) < MOST:
        return Kind.PROBE
    tail = "stepMin" in pairs and "stepMax" not in pairs and call["rows"] <= tail_rows
    return Kind.TAIL if tail else Kind.WINDOW


def counted(calls: Iterable[Call]) -> Counter[Kind]:
    """Return how many calls there are of each kind."""
    return Counter(call.kind for call in calls)
