"""JSON values as JavaScript prints, reads and coerces them."""

import json
import math
from typing import Any

from proxy.standin import jsnumber

_EXACT = 2**53


def stringify(value: object) -> str:
    """`JSON.stringify`: compact, raw UTF-8; numbers as JavaScript prints them, `null` for those that aren't finite."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if abs(value) <= _EXACT else jsnumber.to_text(float(value))
        case float():
            return jsnumber.to_text(value) if math.isfinite(value) else "null"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case dict():
            return "{" + ",".join(f"{stringify(str(name))}:{stringify(member)}" for name, member in value.items()) + "}"
        case list() | tuple():
            return "[" + ",".join(map(stringify, value)) + "]"
        case _:
            raise TypeError(f"not a JSON value: {value!r}")


def parse(text: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    """`JSON.parse`: every number is a float. Raises ValueError for what isn't JSON, NaN and Infinity too."""
    return json.loads(text, parse_int=float, parse_constant=_not_json)


def _not_json(text: str) -> object:
    raise ValueError(text)


def to_string(value: object) -> str:
    """`String(value)`."""
    match value:
        case str():
            return value
        case list() | tuple():
            return ",".join("" if member is None else to_string(member) for member in value)
        case dict():
            return "[object Object]"
        case _ if isinstance(value, float) and not math.isfinite(value):
            return jsnumber.to_text(value)
        case _:
            return stringify(value)


def to_number(value: object) -> float:
    """`Number(value)`: NaN for objects and for texts that aren't numbers."""
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return float(value)
        case dict():
            return math.nan
        case _:
            return jsnumber.parse(to_string(value))
