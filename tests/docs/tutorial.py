"""A tutorial as somebody follows it: the commands of its blocks, and what it says that they print."""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?ms)^```(sh|text|console)\n(.*?)^```$")
# What may differ each time: identifiers, and numbers with or without a fraction.
_VARYING = re.compile(r"\b[0-9a-f]{16,}\b|\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A block of commands, and the lines that the page shows of their output; none where it shows nothing."""

    commands: str
    shown: tuple[str, ...]


def steps(page: Path) -> list[Step]:
    """Return the steps of a page, in order. What is set as `console` needs something that only its reader has."""
    found: list[Step] = []
    for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "sh":
            found.append(Step(commands=text, shown=()))
        elif kind == "text" and found:
            found[-1] = Step(commands=found[-1].commands, shown=tuple(text.splitlines()))
    return found


def shape(line: str) -> str:
    """Return a line without what may differ each time."""
    return " ".join(_VARYING.sub("#", line).split())
