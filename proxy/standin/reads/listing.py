"""`list`: the runs of a project, filtered, in an order, in pages."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream, iso_time
from proxy.standin.auth import Key
from proxy.standin.filters import runfilter
from proxy.standin.filters.conditions import Scope, beating_within
from proxy.standin.filters.fieldvalues import DATA_TYPES, SOURCES, FieldTerm, field_values
from proxy.standin.filters.like import contains
from proxy.standin.integers import bigint
from proxy.standin.jsvalues import parse
from proxy.standin.problem import Problem, UnreadableError
from proxy.standin.reads import ordering
from proxy.standin.runs import Fields, Run, RunStatus
from proxy.standin.summaries import heartbeats, summaries

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
MAX_OFFSET = 100_000
MAX_FIELD_FILTERS = 50
MAX_VISIBLE_COLUMNS = 1000
_BAD_FIELD_FILTERS = "fieldFilters has invalid shape; expected array of {source, key, dataType, operator, values}"
_NO_PROJECT = "projectName is required unless konduktorJobPrefix is provided"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filters:
    """What is asked of the runs; empty texts ask for nothing."""

    search: str
    tags: str
    job_prefix: str
    terms: Sequence[FieldTerm]
    status: str
    after: str | None
    before: str | None
    filter_text: str


def list_runs(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """A page of the runs that fit every filter, and how many fit."""
    reader = asked.reader()
    project = reader.text("projectName")
    search = reader.text("search") or ""
    tags = reader.text("tags") or ""
    limit = reader.number_or("limit", DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT)
    job_prefix = reader.text("konduktorJobPrefix") or ""
    with_fields = reader.flag("includeFieldValues")
    columns = reader.text("visibleColumns") or ""
    field_filters = reader.text("fieldFilters") or ""
    sort = reader.text("sort") or ""
    offset = reader.number_or("offset", 0, minimum=0, maximum=MAX_OFFSET)
    status = reader.text("status") or ""
    after = reader.moment("heartbeatAfter")
    before = reader.moment("heartbeatBefore")
    filter_text = reader.text("filter") or ""
    reader.check()

    order = ordering.parse(sort)
    terms = _field_terms(field_filters)
    if not project and not job_prefix:
        raise Problem.told(_NO_PROJECT)
    upstream.materialise()
    look = _Look(upstream, key.organization.id, project or None)
    filters = _Filters(
        search=search.strip(),
        tags=tags,
        job_prefix=job_prefix,
        terms=terms,
        status=status,
        after=after,
        before=before,
        filter_text=filter_text,
    )
    runs = _selected(look, filters)
    if not runs:
        return json_answer({"runs": [], "total": 0})
    if order.kind == "metric" and not project:
        raise Problem.told("summary_metrics.* sort requires projectName")
    first, count = bigint(offset), bigint(limit)
    page = ordering.in_order(runs, order, look.values(order))[first : first + count]
    visible = _visible_columns(columns)
    answered = [_listed(run, _flat_fields(run, visible) if with_fields else {}) for run in page]
    return json_answer({"runs": answered, "total": len(runs)})


def _selected(look: "_Look", filters: _Filters) -> list[Run]:
    """The runs that fit. As upstream, a filter is read only while others leave runs: an unknown project hides a bad status."""
    runs = [run for run in look.runs if _holds(run, filters.search)]
    fitting = {run.id for run in look.runs if all(term.fits(run) for term in filters.terms)}
    if not runs or not fitting:
        return []
    statuses = _statuses(filters.status)
    runs = [run for run in runs if run.id in fitting]
    if runs and (filters.after or filters.before):
        if look.project is None:
            raise Problem.told("heartbeatAfter/heartbeatBefore require projectName")
        beating = beating_within(look.heartbeats(), after=filters.after, before=filters.before)
        runs = [run for run in runs if run.id in beating]
    if runs and filters.filter_text:
        chosen = _chosen(look, filters.filter_text)
        runs = [run for run in runs if run.id in chosen]
    tags = {tag.strip() for tag in filters.tags.split(",")} - {""}
    return [
        run
        for run in runs
        if (not statuses or run.status in statuses)
        and (not tags or not tags.isdisjoint(run.tags))
        and _job_name(run).startswith(filters.job_prefix)
    ]


class _Look:
    """What one request sees of a project, or of an organization."""

    def __init__(self, upstream: Upstream, tenant: str, project: str | None) -> None:
        self._rows = upstream.rows
        self._tenant = tenant
        self.project = project
        self.runs = upstream.catalogue.runs(tenant, project)
        self._projects = [project] if project else list(dict.fromkeys(run.project for run in self.runs))

    def heartbeats(self) -> Mapping[int, float]:
        """When each run last logged a row, in wall seconds."""
        return {
            run_id: beat_s
            for project in self._projects
            for run_id, beat_s in heartbeats(self._rows, self._tenant, project).items()
        }

    def last_values(self, log_name: str) -> Mapping[int, float]:
        """The last value of a series of each run that has it."""
        ids = [run.id for run in self.runs]
        found = summaries(self._rows, self._tenant, self.project or "", ids, log_name)
        return {summary.run_id: summary.last for summary in found}

    def values(self, order: ordering.Order) -> Mapping[int, float]:
        """What an order needs beside the runs themselves."""
        match order.kind:
            case "heartbeat":
                return self.heartbeats()
            case "metric":
                return self.last_values(order.key)
            case _:
                return {}


def _holds(run: Run, search: str) -> bool:
    """Whether the name or the display id has a part like this."""
    return not search or contains(run.name, search) or contains(run.display_id, search)


def _statuses(text: str) -> list[str]:
    wanted = [item for item in (item.strip() for item in text.split(",")) if item]
    if invalid := [item for item in wanted if item not in RunStatus.__members__]:
        raise Problem.told(f"invalid status value(s): {', '.join(invalid)}; allowed: {', '.join(RunStatus)}")
    return wanted


def _chosen(look: "_Look", text: str) -> set[int]:
    scope = Scope(runs=look.runs, project=look.project, heartbeats=look.heartbeats, last_values=look.last_values)
    try:
        return runfilter.select(parse(text), scope)
    except UnreadableError:
        raise
    except RecursionError as exc:
        raise UnreadableError("nested too deeply") from exc
    except ValueError as exc:
        raise Problem.told("filter must be valid JSON") from exc


def _field_terms(text: str) -> list[FieldTerm]:
    if not text:
        return []
    try:
        given = parse(text)
    except ValueError as exc:
        raise Problem.told("fieldFilters must be a valid JSON array") from exc
    if not isinstance(given, list) or len(given) > MAX_FIELD_FILTERS:
        raise Problem.told(_BAD_FIELD_FILTERS)
    return [_field_term(term) for term in given]


def _field_term(term: object) -> FieldTerm:
    match term:
        case {
            "source": str(source),
            "key": str(key),
            "dataType": str(data_type),
            "operator": str(operator),
            "values": list(values),
        } if source in SOURCES and data_type in DATA_TYPES:
            return FieldTerm(source=source, key=key, data_type=data_type, operator=operator, values=tuple(values))
        case _:
            raise Problem.told(_BAD_FIELD_FILTERS)


def _visible_columns(text: str) -> set[tuple[str, str]] | None:
    """(source, key) of the fields to show; None for all, and for what can't be read."""
    with contextlib.suppress(ValueError):
        given = parse(text)
        if isinstance(given, list):
            columns = [column for column in given if isinstance(column, dict) and column.get("source") in SOURCES]
            keyed = [(column["source"], column["key"]) for column in columns if isinstance(column.get("key"), str)]
            return set(keyed[:MAX_VISIBLE_COLUMNS])
    return None


def _job_name(run: Run) -> str:
    job = (run.system_metadata or {}).get("konduktor")
    name = job.get("job_name") if isinstance(job, dict) else None
    return name if isinstance(name, str) else ""


def _flat_fields(run: Run, visible: set[tuple[str, str]] | None) -> Fields:
    shown = {
        source: {
            name: value.shown
            for name, value in field_values(run, source).items()
            if visible is None or (source, name) in visible
        }
        for source in SOURCES
    }
    return {"_flatConfig": shown["config"], "_flatSystemMetadata": shown["systemMetadata"]}


def _listed(run: Run, fields: Fields) -> Fields:
    return {
        "id": run.id,
        "name": run.name,
        "number": run.number,
        "displayId": run.display_id,
        "projectName": run.project,
        "status": run.status,
        "tags": run.tags,
        "createdAt": iso_time(run.created_at_s),
        **fields,
    }
