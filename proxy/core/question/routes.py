"""The read API as a table: what may be asked, with which parameters, how long it lives, and what an answer must look like.

Another route is another row of `ROUTES`: parsing, caching, coalescing, the stale rules, metrics, the setting for its lifetime
and `/openapi.json` follow from it.
"""

import re

from proxy.core.question.batch import BatchInput
from proxy.core.question.compound import Json, NameSet, RunIds
from proxy.core.question.keeping import Keeping
from proxy.core.question.parameters import Choice, Flag, Parameter, Text, Unread, WholeNumber
from proxy.core.question.route import Route
from proxy.core.question.shapes import (
    check_batch,
    check_details,
    check_files,
    check_history,
    check_list,
    check_logs,
    check_metric_names,
    check_metrics,
    check_projects,
    check_raw,
    check_runs,
    check_statistics,
)
from proxy.core.question.subject import Subject

DEFAULT_LIMIT = 2000
MAX_LIMIT = 10_000


METRICS = Route(
    name="metrics",
    path="/api/runs/metrics",
    summary="Rows of a run's series, sampled down to `limit` rows for each metric",
    parameters=(
        # Published as optional, though the running code answers 400 without it. So a question without it is forwarded.
        Parameter(name="runId", kind=WholeNumber(minimum=0)),
        Parameter(name="projectName", kind=Text(empty_is_unset=False), required=True),
        Parameter(name="logName", kind=Text(empty_is_unset=True)),
        Parameter(name="logGroup", kind=Text(empty_is_unset=True)),
        Parameter(name="limit", kind=WholeNumber(minimum=1, maximum=MAX_LIMIT), default=str(DEFAULT_LIMIT)),
        Parameter(name="stepMin", kind=WholeNumber(minimum=0, zero_is_unset=True)),
        Parameter(name="stepMax", kind=WholeNumber(minimum=0)),
    ),
    check=check_metrics,
    fresh_note="Answers about runs that have ended live longer.",
)

_RUN = Parameter(name="runId", kind=WholeNumber(minimum=0), required=True)
# The upstream looks this run up, and simply doesn't find a negative number; elsewhere its database cannot read one.
_RUN_LOOKED_FOR = Parameter(name="runId", kind=WholeNumber(minimum=-(2**53)), required=True)
_PROJECT = Parameter(name="projectName", kind=Text(empty_is_unset=False), required=True)
_METRIC = Parameter(name="logName", kind=Text(empty_is_unset=False), required=True)
_TEXT = Text(empty_is_unset=True)
_OFFSET = WholeNumber(minimum=0, zero_is_unset=True)
# Filters that name a point in time: `{"heartbeat_at": {"$lt": ...}}` with an hour ago is another question at each poll.
_DATED = re.compile(r"heartbeat|created_?at|updated_?at|\"date\"", re.IGNORECASE)
_ANY = re.compile("")
_STATUSES = frozenset({"RUNNING", "COMPLETED", "FAILED", "TERMINATED", "CANCELLED"})
# The upstream computes these every 5 minutes: a minute more makes them little older.
_DERIVED_S = 60.0
_DERIVED = "pluto-api computes these answers every 5 minutes."

LIST = Route(
    name="list",
    path="/api/runs/list",
    summary="Runs of a project, filtered, sorted and paged",
    parameters=(
        Parameter(name="projectName", kind=_TEXT),
        Parameter(name="search", kind=Text(empty_is_unset=True, trimmed=True)),
        Parameter(name="tags", kind=NameSet()),
        Parameter(name="limit", kind=WholeNumber(minimum=1, maximum=200), default="50"),
        Parameter(name="konduktorJobPrefix", kind=_TEXT, spans=True),
        Parameter(name="includeFieldValues", kind=Flag()),
        Parameter(name="visibleColumns", kind=Json()),
        Parameter(name="fieldFilters", kind=Json(), moving=_DATED),
        Parameter(name="sort", kind=_TEXT),
        Parameter(name="offset", kind=WholeNumber(minimum=0, maximum=100_000, zero_is_unset=True)),
        Parameter(name="status", kind=NameSet(among=_STATUSES)),
        Parameter(name="heartbeatAfter", kind=Text(empty_is_unset=False), moving=_ANY),
        Parameter(name="heartbeatBefore", kind=Text(empty_is_unset=False), moving=_ANY),
        Parameter(name="filter", kind=Json(), moving=_DATED),
    ),
    check=check_list,
)
PROJECTS = Route(
    name="projects",
    path="/api/runs/projects",
    summary="The organization's projects",
    parameters=(),
    check=check_projects,
    fresh_s=30.0,
    subject=Subject.PROJECTS,
)
DETAILS = Route(
    name="details",
    path="/api/runs/details/{runId}",
    segment=_RUN_LOOKED_FOR,
    summary="A run by its number, whatever its project",
    parameters=(Parameter(name="projectName", kind=Unread()),),
    check=check_details,
    subject=Subject.RUN,
)
DETAILS_BY_DISPLAY_ID = Route(
    name="details_by_display_id",
    path="/api/runs/details/by-display-id/{displayId}",
    segment=Parameter(name="displayId", kind=Text(empty_is_unset=False)),
    summary="A run by its display id, such as MMP-42",
    parameters=(Parameter(name="projectName", kind=_TEXT),),
    check=check_details,
)
METRICS_RAW = Route(
    name="metrics_raw",
    path="/api/runs/metrics/raw",
    summary="Every write of one series, duplicates included",
    parameters=(
        _RUN,
        _PROJECT,
        _METRIC,
        Parameter(name="stepMin", kind=_OFFSET),
        Parameter(name="stepMax", kind=WholeNumber(minimum=0)),
        Parameter(name="limit", kind=WholeNumber(minimum=1, maximum=50_000), default="50000"),
    ),
    check=check_raw,
)
STATISTICS = Route(
    name="statistics",
    path="/api/runs/statistics",
    summary="Count, least, greatest, mean and last value of a run's series",
    parameters=(
        _RUN_LOOKED_FOR,
        _PROJECT,
        Parameter(name="logName", kind=_TEXT),
        # Only here an empty group has a meaning: the names that are in no group.
        Parameter(name="logGroup", kind=Text(empty_is_unset=False)),
    ),
    check=check_statistics,
    fresh_s=_DERIVED_S,
    fresh_note=_DERIVED,
)
COMPARE = Route(
    name="compare",
    path="/api/runs/compare",
    summary="One metric's statistics in several runs",
    parameters=(Parameter(name="runIds", kind=RunIds(ordered=True, most=100), required=True), _PROJECT, _METRIC),
    check=check_runs,
    fresh_s=_DERIVED_S,
    fresh_note=_DERIVED,
)
LEADERBOARD = Route(
    name="leaderboard",
    path="/api/runs/leaderboard",
    summary="Runs ranked by a metric",
    parameters=(
        _PROJECT,
        _METRIC,
        Parameter(name="aggregation", kind=Choice(options=("MIN", "MAX", "AVG", "LAST", "VARIANCE")), default="LAST"),
        Parameter(name="direction", kind=Choice(options=("ASC", "DESC")), default="ASC"),
        Parameter(name="limit", kind=WholeNumber(minimum=0, cap=100), default="20"),
        Parameter(name="offset", kind=_OFFSET),
    ),
    check=check_runs,
    fresh_s=_DERIVED_S,
    fresh_note=_DERIVED,
)
METRIC_NAMES = Route(
    name="metric_names",
    path="/api/runs/metric-names",
    summary="The names of a project's metrics",
    parameters=(
        _PROJECT,
        Parameter(name="search", kind=Text(empty_is_unset=True, trimmed=True)),
        Parameter(name="runIds", kind=RunIds(ordered=False)),
        Parameter(name="limit", kind=WholeNumber(minimum=0, cap=500), default="500"),
    ),
    check=check_metric_names,
    fresh_s=_DERIVED_S,
    fresh_note=_DERIVED,
)
LOGS = Route(
    name="logs",
    path="/api/runs/logs",
    summary="A run's console lines",
    parameters=(
        _RUN,
        _PROJECT,
        Parameter(name="logType", kind=Choice(options=("INFO", "ERROR", "WARNING", "DEBUG", "PRINT"))),
        Parameter(name="limit", kind=WholeNumber(minimum=1, maximum=10_000), default="1000"),
        Parameter(name="offset", kind=_OFFSET),
    ),
    check=check_logs,
)
FILES = Route(
    name="files",
    path="/api/runs/files",
    summary="A run's files, with addresses that anybody can download them from for some days",
    parameters=(_RUN, _PROJECT, Parameter(name="logName", kind=_TEXT), Parameter(name="logGroup", kind=_TEXT)),
    check=check_files,
    fresh_s=60.0,
    fresh_note="These answers hold addresses that anybody can download from. They are an hour old at most, stale or not.",
    max_age_s=3600.0,
    keeping=Keeping.MEMORY,
)
STATUS_HISTORY = Route(
    name="status_history",
    path="/api/runs/status/history",
    summary="The transitions of a run's status, whatever its project",
    parameters=(_RUN_LOOKED_FOR,),
    check=check_history,
    fresh_s=15.0,
    subject=Subject.RUN,
)

_BATCH = BatchInput()
CHART_DATA = Route(
    name="chart_data",
    path="/api/chart-data/multi-metric-batch-bucketed",
    summary="Several metrics of several runs of a project, in buckets of steps",
    parameters=(Parameter(name="input", kind=_BATCH, required=True),),
    check=check_batch,
    fresh_s=15.0,
    fresh_note="pluto-api keeps these answers for 30 s itself while a run of them is running: some seconds more matter little.",
    batch=_BATCH,
    # A run id that it can't resolve.
    refuses_by_500=True,
)

ROUTES: tuple[Route, ...] = (
    METRICS,
    LIST,
    PROJECTS,
    DETAILS,
    DETAILS_BY_DISPLAY_ID,
    METRICS_RAW,
    STATISTICS,
    COMPARE,
    LEADERBOARD,
    METRIC_NAMES,
    LOGS,
    FILES,
    STATUS_HISTORY,
    CHART_DATA,
)
