"""A run by its id or its display id, its status history, and the projects."""

from proxy.standin import querystring
from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream, iso_time
from proxy.standin.auth import Key
from proxy.standin.integers import bigint
from proxy.standin.problem import Problem
from proxy.standin.rows import log_group_of
from proxy.standin.runs import Fields, Run, parse_display_id
from proxy.standin.schema import Reader
from proxy.standin.summaries import series_names

MAX_LOG_NAMES = 1000
_BAD_DISPLAY_ID = "Invalid display ID format. Expected PREFIX-NUMBER (e.g., 'MMP-1')"


def by_id(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """A run of the organization, whatever its project; the query is not read."""
    reader = Reader({"runId": [querystring.decode_segment(asked.segment)]})
    run_id = reader.required_number("runId")
    reader.check()
    run = _found(upstream, key, bigint(run_id))
    return json_answer(_details(upstream, run, forked={"forkedFromRunId": None, "forkStep": None}))


def by_display_id(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """A run by prefix and number, in any case; projects that share a prefix must be told apart."""
    reader = asked.reader()
    project = reader.text("projectName")
    reader.check()
    text = querystring.decode_segment(asked.segment)
    parsed = parse_display_id(text)
    if parsed is None:
        raise Problem.told(_BAD_DISPLAY_ID)
    upstream.materialise()
    runs = [run for run in upstream.catalogue.runs(key.organization.id, project or None) if (run.prefix, run.number) == parsed][
        :2
    ]
    match runs:
        case []:
            raise Problem.told("Run not found", 404)
        case [run]:
            return json_answer(_details(upstream, run, forked={}))
        case _:
            names = ", ".join(run.project for run in runs)
            message = f"Display ID '{text}' is ambiguous across multiple projects (e.g. {names})."
            raise Problem.told(f"{message} Specify projectName to disambiguate.", 409)


def status_history(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """How a run came to its status, oldest first."""
    reader = asked.reader()
    run_id = reader.required_number("runId")
    reader.check()
    run = _found(upstream, key, bigint(run_id))
    events = [
        {
            "id": str(event.id),
            "runId": run.id,
            "fromStatus": event.from_status,
            "toStatus": event.to_status,
            "source": event.source,
            "metadata": None,
            "actorId": event.actor_id,
            "apiKeyId": event.api_key_id,
            "createdAt": iso_time(event.at_s),
        }
        for event in sorted(run.events, key=lambda event: event.at_s)
    ]
    return json_answer({"runId": run.id, "events": events})


def projects(upstream: Upstream, _asked: Asked, key: Key) -> Answer:
    """The organization's projects, newest first."""
    upstream.materialise()
    found = [
        {
            "id": project.id,
            "name": project.name,
            "createdAt": iso_time(project.created_at_s),
            "updatedAt": iso_time(project.updated_at_s),
            "runCount": project.run_count,
        }
        for project in upstream.catalogue.projects(key.organization.id)
    ]
    return json_answer({"projects": found})


def _found(upstream: Upstream, key: Key, run_id: int) -> Run:
    upstream.materialise()
    run = upstream.catalogue.find(key.organization.id, run_id)
    if run is None:
        raise Problem.told("Run not found", 404)
    return run


def _details(upstream: Upstream, run: Run, *, forked: Fields) -> Fields:
    return {
        "id": run.id,
        "name": run.name,
        "number": run.number,
        "displayId": run.display_id,
        "status": run.status,
        "tags": run.tags,
        "config": run.config,
        "systemMetadata": run.system_metadata,
        "loggerSettings": None,
        "statusMetadata": None,
        "createdAt": iso_time(run.created_at_s),
        "updatedAt": iso_time(run.updated_at_s),
        "statusUpdated": None if run.status_updated_s is None else iso_time(run.status_updated_s),
        "projectName": run.project,
        "externalId": run.external_id,
        **forked,
        "logNames": _log_names(upstream, run),
    }


def _log_names(upstream: Upstream, run: Run) -> list[Fields]:
    metrics = [(name, "METRIC") for name in series_names(upstream.rows, run.tenant, run.project, [run.id])]
    files = [(file.log_name, "IMAGE" if file.file_type == "png" else "FILE") for file in upstream.storage.files(run)]
    names = [*metrics, *dict.fromkeys(files)][:MAX_LOG_NAMES]
    return [{"logName": name, "logType": kind, "logGroup": log_group_of(name)} for name, kind in names]
