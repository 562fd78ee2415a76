"""Query parameters as the upstream's schemas read them: coercion, limits, defaults, and the issues of a 400."""

import math
import re
from collections.abc import Mapping, Sequence

from proxy.standin import jsnumber
from proxy.standin.problem import Issue, Problem

# ISO 8601 in UTC with a `Z`; seconds may be missing, a fraction may have any length. The day is checked loosely here.
_DATETIME = re.compile(
    r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?Z", re.ASCII
)


class Reader:
    """Reads one parameter after another, keeping the issues in the order of the reading.

    `values` has all values of each name. What a method returns beside a new issue means nothing: `check()` comes
    before any use of it.
    """

    def __init__(self, values: Mapping[str, Sequence[str]]) -> None:
        self._values = values
        self.issues: list[Issue] = []

    def check(self) -> None:
        """Raise the 400 if there is any issue."""
        if self.issues:
            raise Problem.invalid(self.issues)

    def number(
        self, name: str, *, integer: bool = False, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float | None:
        """An optional `z.coerce.number()`, with `.int()`, `.min()` and `.max()` in this order."""
        if name not in self._values:
            return None
        number = self.required_number(name)
        if math.isnan(number):
            return number
        if integer and not number.is_integer():
            issue: Issue = {"code": "invalid_type", "expected": "integer", "received": "float"}
            self.issues.append(issue | {"message": "Expected integer, received float", "path": [name]})
        if number < minimum:
            self._out_of_range(name, "too_small", "minimum", minimum)
        if number > maximum:
            self._out_of_range(name, "too_big", "maximum", maximum)
        return number

    def number_or(
        self, name: str, default: float, *, integer: bool = False, minimum: float = -math.inf, maximum: float = math.inf
    ) -> float:
        """The same with a default for a parameter that isn't there."""
        number = self.number(name, integer=integer, minimum=minimum, maximum=maximum)
        return default if number is None else number

    def required_number(self, name: str) -> float:
        """`z.coerce.number()`: a repeated parameter is an array, whose Number() is NaN; so is that of a missing one."""
        given = self._values.get(name, ())
        number = jsnumber.parse(given[0]) if len(given) == 1 else math.nan
        if math.isnan(number):
            self._invalid_type(name, expected="number", received="nan")
        return number

    def text(self, name: str) -> str | None:
        """An optional `z.string()`."""
        given = self._values.get(name)
        if given is None:
            return None
        if len(given) > 1:
            self._invalid_type(name, expected="string", received="array")
        return given[0]

    def required_text(self, name: str) -> str:
        """`z.string()`; an empty one will do."""
        text = self.text(name)
        if text is None:
            issue: Issue = {"code": "invalid_type", "expected": "string", "received": "undefined"}
            self.issues.append(issue | {"path": [name], "message": "Required"})
        return text or ""

    def choice(self, name: str, options: Sequence[str]) -> str | None:
        """An optional `z.enum()`: case matters."""
        given = self._values.get(name)
        if given is None:
            return None
        named = " | ".join(f"'{option}'" for option in options)
        if len(given) > 1:
            issue: Issue = {"expected": named, "received": "array", "code": "invalid_type", "path": [name]}
            self.issues.append(issue | {"message": f"Expected {named}, received array"})
        elif given[0] not in options:
            issue = {"received": given[0], "code": "invalid_enum_value", "options": list(options), "path": [name]}
            self.issues.append(issue | {"message": f"Invalid enum value. Expected {named}, received '{given[0]}'"})
        return given[0]

    def flag(self, name: str) -> bool:
        """`z.coerce.boolean()`: anything but a missing or an empty value is true, `false` and `0` too."""
        given = self._values.get(name, ())
        return len(given) > 1 or bool(given and given[0])

    def moment(self, name: str) -> str | None:
        """An optional `z.string().datetime()`, as text."""
        text = self.text(name)
        if text is not None and not _DATETIME.fullmatch(text) and len(self._values[name]) == 1:
            issue: Issue = {"validation": "datetime", "code": "invalid_string", "message": "Invalid datetime"}
            self.issues.append(issue | {"path": [name]})
        return text

    def _invalid_type(self, name: str, *, expected: str, received: str) -> None:
        issue: Issue = {"code": "invalid_type", "expected": expected, "received": received, "path": [name]}
        self.issues.append(issue | {"message": f"Expected {expected}, received {received}"})

    def _out_of_range(self, name: str, code: str, bound: str, limit: float) -> None:
        issue: Issue = {"code": code, bound: int(limit), "type": "number", "inclusive": True, "exact": False}
        relation = "greater" if code == "too_small" else "less"
        message = f"Number must be {relation} than or equal to {int(limit)}"
        self.issues.append(issue | {"message": message, "path": [name]})
