"""The rows and their sampling: one SQLite table in memory, asked with window functions as the upstream asks its own."""

import csv
import gzip
import json
import math
import sqlite3
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.standin import jsnumber
from proxy.standin.params import MetricsQuery

# SQLite's integers are signed: shifted by half their range, unsigned ones keep their order.
ID_SHIFT = 2**63
# (tenant, project, run id)
RunKey = tuple[str, str, int]

# `head` is a row's JSON up to its step, made once, at the insert. The key's order is the answer's order. `value` is NULL
# for NaN. What is written again goes to `superseded`, the writes that only the raw route shows.
_SCHEMA = """
CREATE TABLE metrics (
    tenant TEXT, project TEXT, run_id INTEGER, log_name TEXT, step INTEGER, log_group TEXT,
    time TEXT NOT NULL, head TEXT NOT NULL, step_exact TEXT NOT NULL, step_number TEXT NOT NULL, value REAL,
    PRIMARY KEY (tenant, project, run_id, log_name, step, log_group)
) WITHOUT ROWID;
CREATE TABLE superseded (
    tenant TEXT, project TEXT, run_id INTEGER, log_name TEXT, step INTEGER, log_group TEXT, time TEXT, value REAL
);
CREATE INDEX superseded_series ON superseded (tenant, project, run_id, log_name, step);
CREATE TRIGGER keep_what_loses BEFORE INSERT ON metrics BEGIN
    INSERT INTO superseded
    SELECT tenant, project, run_id, log_name, step, log_group, min(new.time, time),
           CASE WHEN new.time >= time THEN value ELSE new.value END
    FROM metrics
    WHERE tenant = new.tenant AND project = new.project AND run_id = new.run_id AND log_name = new.log_name
        AND step = new.step AND log_group = new.log_group;
END
"""
_INSERT = """
INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET time = excluded.time, head = excluded.head, value = excluded.value
WHERE excluded.time >= metrics.time
"""
_DELETE = (
    "DELETE FROM {table} WHERE (:run_id IS NULL OR run_id = :run_id)"
    " AND (:log_name IS NULL OR log_name = :log_name) AND step >= :step_min"
)
# The upstream's rule: all of a name's rows up to the limit, else each ceil(N / limit)-th from the first, and the last.
_SELECT = """
WITH counted AS (
    SELECT log_name, step, log_group, head, step_exact, step_number,
           count(*) OVER (PARTITION BY log_name) AS n,
           row_number() OVER (PARTITION BY log_name ORDER BY step, log_group) AS rn
    FROM metrics WHERE {where}
)
SELECT head || CASE :quoted WHEN 1 THEN '"' || step_exact || '"' ELSE step_number END || '}' FROM counted
WHERE n <= :limit OR rn % ((n + :limit - 1) / :limit) = 1 OR rn = n
ORDER BY log_name, step, log_group
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A logged value. `step` is in 0..2^64-1; `time` is `YYYY-MM-DD HH:MM:SS.mmm`; values may be NaN and infinite.

    Without a `log_group` it is the part of the name before its last `/`, as new rows have it upstream.
    """

    run_id: int
    log_name: str
    step: int
    value: float
    time: str = "2026-01-01 00:00:00.000"
    log_group: str | None = None
    project: str = "demo"
    tenant: str = "org_demo"


class Rows:
    """Every row there is. All calls are synchronous; a query's cost is some milliseconds."""

    def __init__(self) -> None:
        # The garbage collector may run in any thread, and close it there.
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self.close = weakref.finalize(self, self._db.close)
        """Let go of the memory; done where nobody has the rows any more."""
        self.runs: set[RunKey] = set()

    def insert(self, rows: Iterable[Row]) -> None:
        """Add rows; where (tenant, project, run, group, name, step) is there already, the latest `time` wins."""
        self._db.execute("BEGIN")
        self._db.executemany(_INSERT, map(self._columns, rows))
        self._db.execute("COMMIT")

    def load_csv(self, path: Path | str) -> None:
        """Insert the rows of a CSV file, gzipped or not: run_id,project,log_group,log_name,time,step,value,tenant."""
        path = Path(path)
        with (
            gzip.open(path, "rt", encoding="utf-8", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8", newline="") as file
        ):
            self.insert(_row_of(record) for record in csv.DictReader(file))

    def delete(self, *, run_id: int | None = None, log_name: str | None = None, step_min: int = 0) -> int:
        """Remove the rows that fit everything given, from step `step_min` on; the number removed."""
        values = {
            "run_id": None if run_id is None else run_id - ID_SHIFT,
            "log_name": log_name,
            "step_min": step_min - ID_SHIFT,
        }
        self._db.execute(_DELETE.format(table="superseded"), values)
        return self._db.execute(_DELETE.format(table="metrics"), values).rowcount

    def fetch(self, statement: str, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        """Ask the tables something else; run ids and steps in them are `ID_SHIFT` less than they say."""
        return self._db.execute(statement, values).fetchall()

    def __len__(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM metrics").fetchone()
        return int(count)

    def select(self, tenant: str, query: MetricsQuery, *, quoted_steps: bool) -> list[str]:
        """The sampled rows as JSON texts, by name in UTF-8 byte order, then by step, then by group."""
        conditions = ["tenant = :tenant", "project = :project", "run_id = :run_id"]
        values: dict[str, str | int] = {
            "tenant": tenant,
            "project": query.project,
            "run_id": query.run_id - ID_SHIFT,
            "limit": query.limit,
            "quoted": int(quoted_steps),
        }
        if query.log_name:
            conditions.append("log_name = :log_name")
            values["log_name"] = query.log_name
        if query.log_group:
            conditions.append("log_group = :log_group")
            values["log_group"] = query.log_group
        if query.step_min is not None:
            conditions.append("step >= :step_min")
            values["step_min"] = query.step_min - ID_SHIFT
        if query.step_max is not None:
            conditions.append("step <= :step_max")
            values["step_max"] = query.step_max - ID_SHIFT
        cursor = self._db.execute(_SELECT.replace("{where}", " AND ".join(conditions)), values)
        return [text for (text,) in cursor]

    def _columns(self, row: Row) -> tuple[str | int | float | None, ...]:
        self.runs.add((row.tenant, row.project, row.run_id))
        group = log_group_of(row.log_name) if row.log_group is None else row.log_group
        value, flag = _value_and_flag(row.value)
        head = (
            f'{{"logName":{_quote(row.log_name)},"logGroup":{_quote(group)},"value":{value}'
            f',"valueFlag":"{flag}","time":"{row.time}","step":'
        )
        # A JSON number is read and printed again by JavaScript on the way out, so that digits beyond 2^53 are lost.
        number = jsnumber.to_text(float(row.step))
        key = (row.tenant, row.project, row.run_id - ID_SHIFT, row.log_name, row.step - ID_SHIFT, group)
        return (*key, row.time, head, str(row.step), number, None if math.isnan(row.value) else row.value)


def log_group_of(log_name: str) -> str:
    """The group that the upstream gives to a name: what is before its last `/`, an empty text without one."""
    return log_name.rpartition("/")[0]


def _row_of(record: dict[str, str]) -> Row:
    return Row(
        run_id=int(record["run_id"]),
        project=record["project"],
        log_group=record["log_group"],
        log_name=record["log_name"],
        time=record["time"],
        step=int(record["step"]),
        value=float(record["value"]),
        tenant=record["tenant"],
    )


def _quote(text: str) -> str:
    """`JSON.stringify`: raw UTF-8, escapes only for `"`, the backslash and what lies below U+0020."""
    return json.dumps(text, ensure_ascii=False)


def _value_and_flag(value: float) -> tuple[str, str]:
    if math.isnan(value):
        return "0", "NaN"
    if math.isinf(value):
        return "0", "Inf" if value > 0 else "-Inf"
    return jsnumber.to_text(value), ""
