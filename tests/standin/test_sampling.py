"""The table samples as a plain reading of the rule does."""

import gc
import json
import sqlite3
from collections import defaultdict
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.standin import Row
from proxy.standin.params import MetricsQuery
from proxy.standin.rows import Rows

ALL = MetricsQuery(run_id=1, project="demo", log_name="", log_group="", limit=2000, step_min=None, step_max=None)
NAMES = ["a", "B", "\u00e9", "\ufffd", "\U0001f680", "a/b"]


def brute_force(rows: list[Row], query: MetricsQuery) -> list[tuple[str, int, str, float]]:
    """Filter; number each name's rows by step; keep all, or every ceil(N / limit)-th from the first, and the last."""
    latest: dict[tuple[str, int, str], Row] = {}
    for row in rows:
        key = (row.log_name, row.step, row.log_group or "")
        if key not in latest or row.time >= latest[key].time:
            latest[key] = row
    partitions: defaultdict[str, list[Row]] = defaultdict(list)
    for (name, step, group), row in sorted(latest.items(), key=lambda item: (item[0][0].encode(), *item[0][1:])):
        inside = (query.step_min or 0) <= step <= (2**64 if query.step_max is None else query.step_max)
        if query.log_name in ("", name) and query.log_group in ("", group) and inside:
            partitions[name].append(row)
    kept: list[Row] = []
    for partition in partitions.values():
        n = len(partition)
        stride = ceil(n / query.limit)
        kept += [row for rn, row in enumerate(partition, 1) if n <= query.limit or rn % stride == 1 or rn == n]
    return [(row.log_name, row.step, row.log_group or "", row.value) for row in kept]


rows_strategy = st.lists(
    st.builds(
        Row,
        run_id=st.just(1),
        log_name=st.sampled_from(NAMES),
        log_group=st.sampled_from(["", "g1", "g2"]),
        step=st.one_of(st.integers(0, 30), st.integers(2**63 - 2, 2**63 + 2)),
        value=st.integers(0, 99).map(float),
        time=st.sampled_from(["2026-01-01 00:00:00.000", "2026-01-02 00:00:00.000"]),
    ),
    max_size=120,
)
query_strategy = st.builds(
    replace,
    st.just(ALL),
    log_name=st.sampled_from(["", *NAMES]),
    log_group=st.sampled_from(["", "g1"]),
    limit=st.integers(1, 40),
    step_min=st.none() | st.integers(0, 31) | st.just(2**63),
    step_max=st.none() | st.integers(0, 31) | st.just(2**63),
)


def selected(rows: Rows, query: MetricsQuery, tenant: str = "org_demo") -> list[dict[str, Any]]:
    return [json.loads(text) for text in rows.select(tenant, query, quoted_steps=True)]


@given(rows_strategy, query_strategy)
def test_any_query_of_any_rows(rows: list[Row], query: MetricsQuery) -> None:
    """Filters, duplicates, byte order and sampling agree with the brute force."""
    table = Rows()
    table.insert(rows)
    answer = [(row["logName"], int(row["step"]), row["logGroup"], row["value"]) for row in selected(table, query)]
    table.close()
    assert answer == brute_force(rows, query)


def test_nobody_needs_to_close_them() -> None:
    """Rows that nobody has any more close their table, in a cycle too: Python 3.13 warns where that is left to chance."""
    table = Rows()
    connection = table._db  # noqa: SLF001 -- a connection that is not closed shows nowhere else
    table.itself = table  # type: ignore[attr-defined]  # as what refers to each other
    del table
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@pytest.mark.parametrize("rows", [0, 1, 2, 9, 10, 11, 19, 20, 21, 99, 100, 101])
def test_every_limit_of_one_series(rows: int) -> None:
    """Around every multiple, the stride and the last row are right."""
    table = Rows()
    logged = [Row(run_id=1, log_name="m", step=3 * index, value=index) for index in range(rows)]
    table.insert(logged)
    for limit in range(1, rows + 2):
        query = replace(ALL, limit=limit)
        answer = selected(table, query)
        assert [row["value"] for row in answer] == [value for *_, value in brute_force(logged, query)]
        assert rows <= limit or limit / 2 < len(answer) <= limit + 1


def test_tenants_projects_and_runs_are_apart() -> None:
    """A query sees one tenant's, one project's, one run's rows."""
    table = Rows()
    row = Row(run_id=1, log_name="m", step=1, value=1)
    table.insert([row, replace(row, tenant="org_other"), replace(row, project="q"), replace(row, run_id=2**64 - 1)])
    assert len(table) == 4
    assert len(selected(table, ALL)) == 1
    assert len(selected(table, ALL, tenant="org_none")) == 0
    assert len(selected(table, replace(ALL, run_id=2**64 - 1))) == 1


def test_rows_can_be_deleted() -> None:
    """From a step on, of one name or of a run."""
    table = Rows()
    table.insert(Row(run_id=1, log_name=name, step=step, value=1) for name in "ab" for step in range(5))
    assert table.delete(run_id=1, log_name="a", step_min=3) == 2
    assert [row["step"] for row in selected(table, replace(ALL, log_name="a"))] == ["0", "1", "2"]
    assert table.delete(run_id=1) == 8


def test_values_and_texts_are_printed_as_json_stringify_does() -> None:
    """Flags for what JSON lacks, raw UTF-8, few escapes; the group is what stands before the name's last slash."""
    table = Rows()
    values = [1.0, -0.0, 1e21, float("nan"), float("inf"), float("-inf")]
    table.insert(Row(run_id=1, log_name='x/\u2028"\\\x01\x7f', step=index, value=value) for index, value in enumerate(values))
    texts = table.select("org_demo", ALL, quoted_steps=False)
    assert texts[0] == (
        '{"logName":"x/\u2028\\"\\\\\\u0001\x7f","logGroup":"x","value":1,"valueFlag":"",'
        '"time":"2026-01-01 00:00:00.000","step":0}'
    )
    assert [text.split('"value":')[1].split(',"time"')[0] for text in texts[1:]] == [
        '0,"valueFlag":""',
        '1e+21,"valueFlag":""',
        '0,"valueFlag":"NaN"',
        '0,"valueFlag":"Inf"',
        '0,"valueFlag":"-Inf"',
    ]
