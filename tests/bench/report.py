"""What a scenario found, as a Markdown table with its bounds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A promise, what was measured, and whether it holds."""

    promise: str
    measured: str
    held: bool

    def __str__(self) -> str:
        return f"{'✓' if self.held else '✗'} {self.promise}: {self.measured}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One scenario's table. `notes` are sentences below it."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    bounds: Sequence[Bound] = ()
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        lines = [f"## {self.title}", "", _line(self.columns), _line(["---"] * len(self.columns))]
        lines += map(_line, self.rows)
        lines += ["", *(f"- {item}" for item in (*self.notes, *self.bounds))]
        return "\n".join(lines).rstrip() + "\n"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Return `median (min..max)`."""
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({least:,.{digits}f}..{most:,.{digits}f})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
