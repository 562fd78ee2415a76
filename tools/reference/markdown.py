"""Markdown: what the reference's pages are written in."""

from collections.abc import Iterable, Sequence


def page(title: str, source: str, *parts: str) -> str:
    """Return a page that says what it is made of."""
    told = f"<!-- Written by `make reference` from {source}. Change it there. -->"
    return "\n\n".join([told, f"# {title}", *(part.strip("\n") for part in parts)]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines)


def code(text: str) -> str:
    """Return a text set as code; an empty one stays empty."""
    return f"`{text}`" if text else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
