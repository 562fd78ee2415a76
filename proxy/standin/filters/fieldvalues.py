"""Flattened fields of `config` and `systemMetadata`, as the upstream keeps them for filters, sorting and display.

A field is a dotted key with a text and, where the text reads as a number, a number.
"""

import math
import re
from dataclasses import dataclass

from proxy.standin import jsnumber
from proxy.standin.filters.like import contains, ilike
from proxy.standin.jsvalues import to_number, to_string
from proxy.standin.problem import UnreadableError
from proxy.standin.runs import Run

SOURCES = ("config", "systemMetadata")
DATA_TYPES = ("text", "number", "date", "option")
# A negated operator fits the runs that the plain one doesn't: those without the field, too.
_NEGATED = {"does not contain": "contains", "is not": "is", "is not between": "is between", "is none of": "is any of"}
_NUMBERS = {
    "is greater than": ">",
    "is less than": "<",
    "is greater than or equal to": ">=",
    "is less than or equal to": "<=",
}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", re.ASCII)
_LEADING_ZERO = re.compile(r"0[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldValue:
    """What is kept of one field; a null leaves neither."""

    text: str | None
    number: float | None

    @property
    def shown(self) -> str | float | None:
        """The number if there is one, else the text."""
        return self.text if self.number is None else self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """A condition on one field; what `values` mean depends on the data type and the operator."""

    source: str
    key: str
    data_type: str
    operator: str
    values: tuple[object, ...] = ()

    def fits(self, run: Run) -> bool:
        """Whether a run satisfies it; an unknown operator, or a number that is none, asks for nothing."""
        value = field_values(run, self.source).get(self.key)
        if self.operator in ("exists", "not exists"):
            return (value is not None) is (self.operator == "exists")
        plain = _NEGATED.get(self.operator, self.operator)
        verdict = self._compare(plain, value)
        return verdict is None or verdict is (plain == self.operator)

    def _compare(self, operator: str, value: FieldValue | None) -> bool | None:
        """The plain operator on a field that may be missing; None for what asks for nothing."""
        text = None if value is None else value.text
        match self.data_type:
            case "text":
                return _compare_texts(operator, text, to_string(self._value(0)) if self._value(0) is not None else "")
            case "number":
                return self._compare_numbers(operator, None if value is None else value.number)
            case "date":
                return self._compare_dates(operator, text)
            case _:
                return self._compare_options(operator, text)

    def _value(self, place: int) -> object:
        return self.values[place] if place < len(self.values) else None

    def _numeric(self, place: int) -> float:
        return to_number(self.values[place]) if place < len(self.values) else math.nan

    def _compare_numbers(self, operator: str, number: float | None) -> bool | None:
        first, second = self._numeric(0), self._numeric(1)
        operator = _NUMBERS.get(operator, operator)
        verdicts = {"is", ">", "<", ">=", "<=", "is between"}
        if operator not in verdicts or math.isnan(first) or (operator == "is between" and math.isnan(second)):
            return None
        if number is None:
            return False
        return {
            "is": number == first,
            ">": number > first,
            "<": number < first,
            ">=": number >= first,
            "<=": number <= first,
            "is between": first <= number <= second,
        }[operator]

    def _compare_dates(self, operator: str, text: str | None) -> bool | None:
        first, second = (to_string(self._value(place)) for place in (0, 1))
        match operator:
            case "is before" | "is on or before":
                return text is not None and text < first
            case "is after" | "is on or after":
                return text is not None and text > first
            case "is between":
                return text is not None and first <= text <= second
            case _:
                return None

    def _compare_options(self, operator: str, text: str | None) -> bool | None:
        first = self._value(0)
        match operator:
            case "is any of":
                return text in [to_string(option) for option in (first if isinstance(first, list) else self.values)]
            case "is":
                return text == to_string(first)
            case _:
                return None


def _compare_texts(operator: str, text: str | None, wanted: str) -> bool | None:
    match operator:
        case "contains":
            return text is not None and contains(text, wanted)
        case "equals" | "is":
            return text == wanted
        case "starts with":
            return text is not None and ilike(text, f"{wanted}%")
        case "ends with":
            return text is not None and ilike(text, f"%{wanted}")
        case "regex":
            try:
                return text is not None and re.search(wanted, text) is not None
            except re.error as exc:
                raise UnreadableError(wanted) from exc
        case _:
            return None


def field_values(run: Run, source: str) -> dict[str, FieldValue]:
    """A run's fields of one source, by dotted key."""
    fields = run.config if source == "config" else run.system_metadata
    return {key: _field_value(value) for key, value in _flat(fields or {}, "")}


def _flat(fields: dict[str, object], prefix: str) -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for name, value in fields.items():
        flat.extend(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)])
    return flat


def _field_value(value: object) -> FieldValue:
    if value is None:
        return FieldValue(text=None, number=None)
    return FieldValue(text=to_string(value), number=_number_of(value))


def _number_of(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or _ISO_DATE.match(value):
        return None
    text = value.strip()
    if not text or text[:2] in ("0x", "0X") or _LEADING_ZERO.fullmatch(text):
        return None
    number = jsnumber.parse(text)
    return number if math.isfinite(number) else None
