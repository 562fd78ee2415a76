"""Kinds of parameters whose text has parts: lists separated by commas, and JSON."""

import math
import re
from dataclasses import dataclass

import msgspec

from proxy.core.question.ecmascript import WHITESPACE, to_number
from proxy.core.question.form import shown
from proxy.core.question.parameters import FIRST_UNPRINTABLE, Schema
from proxy.core.surrogates import read_json

_anything = msgspec.json.Decoder()
_STRING_OR_SPACE = re.compile(r'"(?:[^"\\]|\\.)*"|[ \t\n\r]+', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSet:
    """Names separated by commas. Their order and repetition mean nothing; empty names are dropped; a text without any is unset.

    `among` are the names that the upstream accepts, None where it accepts any. A text with another name is kept as it came,
    since the upstream's refusal quotes it.
    """

    among: frozenset[str] | None = None

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "description": "separated by commas"}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        names = {name for part in text.split(",") if (name := part.strip(WHITESPACE))}
        if self.among is not None and not names <= self.among:
            return text
        return ",".join(sorted(names)) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIds:
    """Numbers of runs separated by commas, each read by JavaScript's rules (an empty one is 0); what is no number is dropped.

    `ordered`: the answer lists the runs in the order and as often as they were asked for; a text without a number is refused.
    Otherwise the numbers are a set, and a text without any is unset. More than `most` numbers are refused.
    """

    ordered: bool
    most: int | None = None

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "description": "numbers separated by commas"}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        if not (self.ordered or text):
            return None
        numbers = [number for part in text.split(",") if not math.isnan(number := to_number(part))]
        if any(not number.is_integer() or abs(number) >= FIRST_UNPRINTABLE for number in numbers):
            raise ValueError(f"must be whole numbers separated by commas, not {shown(text)!r}")
        if self.most is not None and len(numbers) > self.most:
            raise ValueError(f"must hold {self.most} run ids at most, not {len(numbers)}")
        runs = [int(number) for number in numbers]
        if self.ordered and not runs:
            raise ValueError("holds no run id")
        return ",".join(map(str, runs if self.ordered else sorted(set(runs)))) or None


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON text. White space between its tokens is dropped, everything else stays as it came.

    A text that isn't JSON stays as it came, too: the upstream says what is wrong with it. An empty text is unset.
    """

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "contentMediaType": "application/json"}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        try:
            read_json(_anything, text.encode())
        except (msgspec.DecodeError, RecursionError):
            return text or None
        return _STRING_OR_SPACE.sub(lambda found: found[0] if found[0].startswith('"') else "", text)
