"""The parameters of the metrics route: coercion, the 400 bodies, and the numbers that the database refuses."""

import math
from dataclasses import dataclass

from proxy.standin import jsnumber

Issue = dict[str, object]
DEFAULT_LIMIT = 2000
MAX_LIMIT = 10_000
_UINT64 = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsQuery:
    """A query as the database gets it: integers in 0..2^64-1, empty texts for no filter."""

    run_id: int
    project: str
    log_name: str
    log_group: str
    limit: int
    step_min: int | None
    step_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The schema said no: 400, with one issue or more, in schema order."""

    issues: tuple[Issue, ...]


class Impossible:
    """The schema said yes, but the database can't read a number: 500."""


class _Reader:
    """Reads one parameter after another, keeping the issues in the order of the reading."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values
        self.issues: list[Issue] = []

    def number(self, name: str, *, required: bool = False) -> float | None:
        """`z.coerce.number()`: a repeated parameter is an array, whose Number() is NaN; so is that of a missing one."""
        given = self._values.get(name)
        if given is None and not required:
            return None
        number = jsnumber.parse(given[0]) if given is not None and len(given) == 1 else math.nan
        if math.isnan(number):
            self._invalid_type(name, expected="number", received="nan")
            return None
        return number

    def limit(self) -> float:
        number = self.number("limit")
        if number is None:
            return DEFAULT_LIMIT
        if number < 1:
            self._too_small("limit", 1)
        if number > MAX_LIMIT:
            self._too_big("limit", MAX_LIMIT)
        return number

    def step(self, name: str) -> float | None:
        number = self.number(name)
        if number is not None and not number.is_integer():
            issue: Issue = {"code": "invalid_type", "expected": "integer", "received": "float"}
            self.issues.append(issue | {"message": "Expected integer, received float", "path": [name]})
        if number is not None and number < 0:
            self._too_small(name, 0)
        return number

    def text(self, name: str, *, required: bool = False) -> str:
        given = self._values.get(name)
        if given is None:
            if required:
                issue: Issue = {"code": "invalid_type", "expected": "string", "received": "undefined"}
                self.issues.append(issue | {"path": [name], "message": "Required"})
            return ""
        if len(given) > 1:
            self._invalid_type(name, expected="string", received="array")
        return given[0]

    def _invalid_type(self, name: str, *, expected: str, received: str) -> None:
        issue: Issue = {"code": "invalid_type", "expected": expected, "received": received, "path": [name]}
        self.issues.append(issue | {"message": f"Expected {expected}, received {received}"})

    def _too_small(self, name: str, minimum: int) -> None:
        issue: Issue = {"code": "too_small", "minimum": minimum, "type": "number", "inclusive": True, "exact": False}
        message = f"Number must be greater than or equal to {minimum}"
        self.issues.append(issue | {"message": message, "path": [name]})

    def _too_big(self, name: str, maximum: int) -> None:
        issue: Issue = {"code": "too_big", "maximum": maximum, "type": "number", "inclusive": True, "exact": False}
        message = f"Number must be less than or equal to {maximum}"
        self.issues.append(issue | {"message": message, "path": [name]})


def read(values: dict[str, list[str]]) -> MetricsQuery | Rejected | Impossible:
    """A decoded query string to what the database is asked, by the upstream's rules."""
    reader = _Reader(values)
    run_id = reader.number("runId", required=True)
    project = reader.text("projectName", required=True)
    log_name = reader.text("logName")
    log_group = reader.text("logGroup")
    limit = reader.limit()
    step_min = reader.step("stepMin")
    step_max = reader.step("stepMax")
    if reader.issues or run_id is None:
        return Rejected(issues=tuple(reader.issues))
    try:
        return MetricsQuery(
            run_id=_unsigned(run_id),
            project=project,
            log_name=log_name,
            log_group=log_group,
            limit=_unsigned(limit),
            step_min=None if step_min is None else _unsigned(step_min),
            step_max=None if step_max is None else _unsigned(step_max),
        )
    except ValueError:
        return Impossible()


def _unsigned(number: float) -> int:
    """A number on its way into a UInt64: printed by JavaScript, read digit by digit, wrapped around at 2^64.

    Raises ValueError for a sign, a fraction or an exponent, which the database can't read.
    """
    text = jsnumber.to_text(number)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text) % _UINT64
