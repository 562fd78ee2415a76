"""`pluto-proxy query`: one metric of a run, asked through a running proxy, as a table, CSV, JSON or a plot."""

import argparse
import csv
import shutil
import sys
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from proxy.cli.output import Table, counted, note, plain, write, write_json, write_table
from proxy.cli.place import Place
from proxy.cli.plot import plot
from proxy.cli.running import Reply, reaching
from proxy.core.lone_surrogates import read_json
from proxy.core.question.routes import METRICS
from proxy.errors import CommandError, ConfigError

_PLOT_COLUMNS, _PLOT_ROWS = 80, 20
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Row(msgspec.Struct):
    """A row of an answer. `value` is a number as pluto-api writes it; `valueFlag` says what it is where it is none."""

    time: str
    step: int | float | str
    value: msgspec.Raw
    valueFlag: str = ""  # noqa: N815 -- pluto-api's name
    logGroup: str = ""  # noqa: N815 -- pluto-api's name

    @property
    def text(self) -> str:
        """The value as a text."""
        return self.valueFlag or bytes(self.value).decode()

    @property
    def number(self) -> float:
        """The value as a number. Raises ValueError where it is something else."""
        return float(self.text)


class _Answer(msgspec.Struct):
    metrics: list[_Row]


_answer = msgspec.json.Decoder(_Answer)


async def run_query(place: Place, arguments: argparse.Namespace) -> int:
    """Ask and print the answer. Return 0. Raises CommandError, ConfigError."""
    _check_window(arguments.step_min, arguments.step_max)
    target = METRICS.path + "?" + urlencode(_parameters(arguments))
    async with reaching(place) as proxy:
        reply = await proxy.ask(target)
    try:
        rows = read_json(_answer, reply.body).metrics
        points = [(float(row.step), row.number) for row in rows]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise CommandError("the answer is not one about metrics: is it a pluto-proxy that answers there?") from None
    if arguments.json:
        write_json(_document(arguments, rows, reply))
    elif arguments.csv:
        _write_csv(rows)
    elif arguments.plot:
        _draw(points, f"{arguments.metric}, run {arguments.run}")
    else:
        write_table(_table(rows))
    if not arguments.json:
        hint = "" if rows else "; is there such a run in the project, with this metric?"
        note(f"{counted(len(rows), 'row', 'rows')}, {_age(reply)}{hint}")
    return 0


def _check_window(first: str | None, last: str | None) -> None:
    """Raise ConfigError for a window without steps. What is no number is for the proxy to refuse."""
    if first and last and first.isdecimal() and last.isdecimal() and int(first) > int(last):
        raise ConfigError([f"--step-min {first} is beyond --step-max {last}"])


def _parameters(arguments: argparse.Namespace) -> dict[str, str]:
    given = {
        "runId": arguments.run,
        "projectName": arguments.project,
        "logName": arguments.metric,
        "limit": arguments.limit,
        "stepMin": arguments.step_min,
        "stepMax": arguments.step_max,
    }
    return {name: value for name, value in given.items() if value is not None}


def _age(reply: Reply) -> str:
    status = reply.headers.get("cache-status", "").partition(";")[2].strip()
    return plain(f"{reply.headers.get('age', '?')} s old ({status})")


def _groups(rows: Sequence[_Row]) -> bool:
    """Tell whether the rows are of several groups, so that the group must be told."""
    return len({row.logGroup for row in rows}) > 1


def _columns(rows: Sequence[_Row]) -> tuple[list[str], list[list[str]]]:
    if _groups(rows):
        return ["step", "time", "value", "group"], [[str(row.step), row.time, row.text, row.logGroup] for row in rows]
    return ["step", "time", "value"], [[str(row.step), row.time, row.text] for row in rows]


def _table(rows: Sequence[_Row]) -> Table:
    headings, cells = _columns(rows)
    return Table(headings=headings, rows=cells, numbers=frozenset({0, 2}))


def _write_csv(rows: Sequence[_Row]) -> None:
    headings, cells = _columns(rows)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(headings)
    for step, at, value, *group in cells:
        names = [f"'{name}" if name.startswith(_FORMULA) else name for name in group]
        writer.writerow([plain(cell) if sys.stdout.isatty() else cell for cell in (step, at, value, *names)])
    sys.stdout.flush()


def _document(arguments: argparse.Namespace, rows: Sequence[_Row], reply: Reply) -> dict[str, object]:
    return {
        "project": arguments.project,
        "run": arguments.run,
        "metric": arguments.metric,
        "age_s": int(reply.headers["age"]) if reply.headers.get("age", "").isdigit() else None,
        "cache_status": reply.headers.get("cache-status"),
        "rows": [
            # JSON has no numbers for NaN and the infinities.
            {"step": row.step, "time": row.time, "value": row.valueFlag or row.number, "group": row.logGroup}
            for row in rows
        ],
    }


def _draw(points: Sequence[tuple[float, float]], title: str) -> None:
    size = shutil.get_terminal_size((_PLOT_COLUMNS, _PLOT_ROWS + 4))
    columns = size.columns if sys.stdout.isatty() else _PLOT_COLUMNS
    rows = max(5, min(_PLOT_ROWS, size.lines - 4)) if sys.stdout.isatty() else _PLOT_ROWS
    braille = (sys.stdout.encoding or "").lower().startswith("utf")
    lines = plot(points, columns=columns, rows=rows, braille=braille)
    if not lines:
        raise CommandError("there is nothing to draw: the answer has no rows with a number")
    for line in (plain(title)[:columns], *lines):
        write(line)
