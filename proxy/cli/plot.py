"""A plot in a terminal: a line through points, drawn with braille dots, or with stars where there are no braille characters."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

Point = tuple[float, float]
# A braille character has 2 x 4 dots; the bits of each in the order of rows.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_EMPTY = 0x2800
_LEAST_CELLS = 10


def plot(points: Sequence[Point], *, columns: int, rows: int, braille: bool = True) -> list[str]:
    """Return the lines of a plot of points (step, value), `columns` wide and `rows` high with its labels.

    Points that aren't finite are left out. Returns no lines where none is left.
    """
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if not finite:
        return []
    left, right = min(x for x, _ in finite), max(x for x, _ in finite)
    low, high = min(y for _, y in finite), max(y for _, y in finite)
    labels = {0: f"{high:.5g}", rows - 2: f"{low:.5g}"}
    margin = max(map(len, labels.values()))
    wide, tall = max(_LEAST_CELLS, columns - margin - 2), rows - 1
    across, down = (2, 4) if braille else (1, 1)
    dots = set(_line([(_place(x, left, right, wide * across), _place(y, low, high, tall * down)) for x, y in finite]))
    drawn = _braille(dots, wide, tall) if braille else _stars(dots, wide, tall)
    side = "\u2502" if braille else "|"
    lines = [f"{labels.get(row, ''):>{margin}} {side}{line}".rstrip() for row, line in enumerate(drawn)]
    first, last = f"{left:.10g}", f"{right:.10g}"
    both = left < right and len(first) + len(last) < wide
    foot = first + last.rjust(wide - len(first)) if both else first[:wide]
    return [*lines, " " * (margin + 2) + foot]


def _place(value: float, low: float, high: float, cells: int) -> int:
    """Return in which of some cells a value lies; in the middle where all values are the same."""
    if high <= low:
        return cells // 2
    # Halved, since the difference of two doubles may be beyond all of them.
    share = (value / 2 - low / 2) / (high / 2 - low / 2)
    return min(cells - 1, int(share * cells))


def _line(dots: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the dots of a line through some dots."""
    yield from dots[:1]
    for (x0, y0), (x1, y1) in pairwise(dots):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        for step in range(1, steps + 1):
            yield x0 + round((x1 - x0) * step / steps), y0 + round((y1 - y0) * step / steps)


def _braille(dots: Iterable[tuple[int, int]], wide: int, tall: int) -> list[str]:
    cells = [[_EMPTY] * wide for _ in range(tall)]
    for x, y in dots:
        row = tall * 4 - 1 - y
        cells[row // 4][x // 2] |= _DOTS[row % 4][x % 2]
    return ["".join(" " if cell == _EMPTY else chr(cell) for cell in line) for line in cells]


def _stars(dots: Iterable[tuple[int, int]], wide: int, tall: int) -> list[str]:
    cells = [[" "] * wide for _ in range(tall)]
    for x, y in dots:
        cells[tall - 1 - y][x] = "*"
    return ["".join(line) for line in cells]
