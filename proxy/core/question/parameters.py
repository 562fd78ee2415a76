"""The kinds of parameters that the read routes take, and how each is brought to one canonical text."""

import math
import re
from dataclasses import dataclass
from typing import Protocol

from proxy.core.question.ecmascript import WHITESPACE, to_number
from proxy.core.question.form import shown

# From here on JavaScript prints a number with an exponent, which the upstream's database cannot read: it answers 500.
FIRST_UNPRINTABLE = 1e21


Schema = dict[str, object]


class Kind(Protocol):
    """How the text of a parameter is read."""

    @property
    def schema(self) -> Schema:
        """What `/openapi.json` says about the values: a JSON Schema."""

    def canonical(self, text: str) -> str | None:
        """Return the canonical text of a value, the same for every spelling of it; None where the value means the same as none.

        Raises ValueError with a sentence for the client where the upstream would refuse the value.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Any text, byte for byte.

    `empty_is_unset`: the upstream treats an empty text like an absent one. `trimmed`: before that it strips JavaScript's white
    space from both ends.
    """

    empty_is_unset: bool
    trimmed: bool = False

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string"}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        text = text.strip(WHITESPACE) if self.trimmed else text
        return None if self.empty_is_unset and not text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeNumber:
    """A whole number from `minimum` to `maximum` inclusive, read by JavaScript's rules (an empty text is 0).

    Without a maximum everything below 1e21 is accepted. Numbers are doubles upstream: 9007199254740993 and 9007199254740992 are
    the same number there, and so have one canonical text here. `zero_is_unset`: 0 means the same as none. `cap`: every greater
    number, a fraction or infinity too, means the same as `cap`.
    """

    minimum: int
    maximum: int | None = None
    cap: int | None = None
    zero_is_unset: bool = False

    @property
    def schema(self) -> Schema:
        """See Kind."""
        bounds: Schema = {"minimum": self.minimum}
        return {"type": "integer", **bounds, **({} if self.maximum is None else {"maximum": self.maximum})}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        number = to_number(text) if self.cap is None else min(to_number(text), float(self.cap))
        if not self._accepts(number):
            raise ValueError(f"must be a whole number {self._range()}, not {shown(text)!r}")
        if self.zero_is_unset and number == 0:
            return None
        return str(int(number))

    def _accepts(self, number: float) -> bool:
        if not (math.isfinite(number) and number.is_integer() and number >= self.minimum):
            return False
        return number < FIRST_UNPRINTABLE if self.maximum is None else number <= self.maximum

    def _range(self) -> str:
        return f"of {self.minimum} or more (below 1e21)" if self.maximum is None else f"from {self.minimum} to {self.maximum}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of some words, in exactly this spelling."""

    options: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "enum": list(self.options)}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        if text not in self.options:
            raise ValueError(f"must be one of {', '.join(self.options)}, not {shown(text)!r}")
        return text


@dataclass(frozen=True, slots=True)
class Flag:
    """True for any text but the empty one, as JavaScript's `Boolean(text)`: for `false` and `0` as well."""

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "description": "true unless empty or left out"}

    def canonical(self, text: str) -> str | None:
        """See Kind."""
        return "true" if text else None


@dataclass(frozen=True, slots=True)
class Unread:
    """A parameter that clients send and the upstream ignores: no part of the question."""

    @property
    def schema(self) -> Schema:
        """See Kind."""
        return {"type": "string", "description": "has no effect"}

    def canonical(self, text: str) -> str | None:  # noqa: ARG002 -- whatever it is
        """See Kind."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a route.

    `default` is the canonical text that the upstream assumes where the parameter is absent. `moving` matches values that name a
    point in time, which is another one at each poll: such a question is asked once. `spans`: with this parameter an answer may
    be about other projects than the one in `projectName`.
    """

    name: str
    kind: Kind
    required: bool = False
    default: str | None = None
    moving: re.Pattern[str] | None = None
    spans: bool = False
