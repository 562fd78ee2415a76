"""What commands print: names made harmless, tables, JSON, and numbers for people.

Names come from pluto-api, where anybody with a key chooses them. A terminal would obey the escape sequences in them: `plain`
writes them out. On a terminal tables are drawn by rich, which is loaded only then. Elsewhere they are aligned texts.
"""

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_COLUMNS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of texts with a heading for each column. `numbers`: the columns that are aligned to the right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = field(default_factory=frozenset)


def plain(text: str) -> str:
    """Return a text in which whatever isn't printable is written as an escape, such as \\x1b."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def write(text: str) -> None:
    """Write a line to standard output. Its characters that the terminal's encoding lacks are written as escapes."""
    _write_lines([text])


def write_json(document: object) -> None:
    """Write a document as a line of JSON in ASCII, so that no terminal obeys what is in it."""
    _write_lines([json.dumps(document)])


def note(text: str) -> None:
    """Write a line for people to standard error. A terminal gets it in several where it would break words."""
    line = f"pluto-proxy: {plain(text)}"
    if sys.stderr.isatty():
        line = "\n".join(wrapped(line, columns_of(sys.stderr), indent="  "))
    sys.stderr.write(f"{line}\n")


def wrapped(text: str, columns: int, *, indent: str) -> list[str]:
    """Return a text as lines of so many columns, all but the first with an indent. Only longer words are longer."""
    return textwrap.wrap(text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def columns_of(terminal: TextIO) -> int:
    """Return how many columns a terminal has; 80 where it doesn't say."""
    try:
        return os.get_terminal_size(terminal.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def counted(number: int, one: str, several: str) -> str:
    """Return a number with the word for what is counted."""
    return f"{number:,} {one if number == 1 else several}"


def write_table(table: Table) -> None:
    """Write a table to standard output: drawn on a terminal, aligned with spaces elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 -- takes longer to load than most commands run

        Console(highlight=False).print(drawn(table))
        return
    rows = [[*map(plain, row)] for row in (table.headings, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    _write_lines(
        "  ".join(
            cell.rjust(width) if place in table.numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def drawn(table: Table) -> "RichTable":
    """Return a table as rich draws it. Names are taken as they are: `[red]` is no markup."""
    from rich import box  # noqa: PLC0415 -- as above
    from rich.table import Table as RichTable  # noqa: PLC0415 -- as above
    from rich.text import Text  # noqa: PLC0415 -- as above

    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, heading in enumerate(table.headings):
        made.add_column(heading, justify="right" if place in table.numbers else "left", overflow="fold")
    for row in table.rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made


def size(number: float) -> str:
    """Return a number of bytes for people, such as 1.5 MiB."""
    unit = 0
    # What is rounded to 1024.0 is 1.0 of the next unit.
    while number >= 1023.95 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:.0f} {_UNITS[unit]}" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """Return a number of seconds for people, such as 3 h 12 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min"
    return f"{hours // 24} d {hours % 24} h"


def _write_lines(lines: Iterable[str]) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    text = "".join(f"{line}\n" for line in lines)
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()
