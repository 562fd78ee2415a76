"""What a run left beside its metrics: console lines, files, and the bytes behind their presigned URLs."""

from proxy.standin import console, presign, querystring
from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream, large, row_time
from proxy.standin.auth import Key
from proxy.standin.integers import unsigned
from proxy.standin.runs import Run
from proxy.standin.storage import StoredFile

LOGS_DEFAULT_LIMIT = 1000
LOGS_MAX_LIMIT = 10_000
MAX_FILES = 1000
_UINT32_BITS = 32
_XML = "application/xml"
_CONTENT_TYPES = {"json": "application/json", "png": "image/png", "txt": "text/plain"}


def logs(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Console lines by number; `total` counts all of the type asked for."""
    reader = asked.reader()
    run_id = reader.required_number("runId")
    project = reader.required_text("projectName")
    kind = reader.choice("logType", console.LOG_TYPES)
    limit = reader.number_or("limit", LOGS_DEFAULT_LIMIT, minimum=1, maximum=LOGS_MAX_LIMIT)
    offset = reader.number_or("offset", 0, minimum=0)
    reader.check()
    count, first = unsigned(limit, _UINT32_BITS), unsigned(offset, _UINT32_BITS)
    run = _run(upstream, key, unsigned(run_id), project)
    numbers = [] if run is None else console.numbers_of(console.line_count(run, upstream.clock()), kind)
    lines = [] if run is None else [console.line(run, number) for number in numbers[first : first + count]]
    answered = [
        {
            "time": row_time(line.time_s),
            "logType": line.kind,
            "lineNumber": large(upstream, line.number),
            "message": line.message,
            "step": large(upstream, line.step),
        }
        for line in lines
    ]
    return json_answer({"logs": answered, "total": len(numbers)})


def files(upstream: Upstream, asked: Asked, key: Key) -> Answer:
    """Files with presigned URLs on the host that was asked."""
    reader = asked.reader()
    run_id = reader.required_number("runId")
    project = reader.required_text("projectName")
    log_name = reader.text("logName")
    log_group = reader.text("logGroup")
    reader.check()
    run = _run(upstream, key, unsigned(run_id), project)
    found = [
        file
        for file in ([] if run is None else upstream.storage.files(run))
        if log_name in (None, "", file.log_name) and log_group in (None, "", file.log_group)
    ]
    return json_answer({"files": [_file(upstream, asked, file) for file in found[:MAX_FILES]]})


def presigned_url(upstream: Upstream, asked: Asked, path: str, method: str = "GET") -> str:
    """A URL that opens a stored object for a method."""
    return f"http://{asked.host}{path}?{presign.sign(method, path, upstream.clock())}"


def download(upstream: Upstream, asked: Asked) -> Answer:
    """An object's bytes for whoever has its presigned URL: no key is asked for, none of the application's headers sent."""
    if not presign.opens("GET", asked.path, querystring.decode(asked.query), upstream.clock()):
        return Answer(status=403, body=_storage_error("AccessDenied"), content_type=_XML, headers=())
    stored = (file for run in upstream.catalogue.everything() for file in upstream.storage.files(run))
    file = next((file for file in stored if file.path == asked.path and file.body is not None), None)
    if file is None or file.body is None:
        return Answer(status=404, body=_storage_error("NoSuchKey"), content_type=_XML, headers=())
    content_type = _CONTENT_TYPES.get(file.file_type, "binary/octet-stream")
    return Answer(body=file.body, content_type=content_type, headers=(), encodable=False)


def _storage_error(code: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'.encode()


def _run(upstream: Upstream, key: Key, run_id: int, project: str) -> Run | None:
    upstream.materialise()
    run = upstream.catalogue.find(key.organization.id, run_id)
    return run if run is not None and run.project == project else None


def _file(upstream: Upstream, asked: Asked, file: StoredFile) -> dict[str, object]:
    return {
        "fileName": file.file_name,
        "fileType": file.file_type,
        "fileSize": large(upstream, file.size_bytes),
        "logName": file.log_name,
        "logGroup": file.log_group,
        "time": row_time(file.time_s),
        "step": large(upstream, file.step),
        "caption": file.caption,
        "annotations": file.annotations,
        "url": presigned_url(upstream, asked, file.path),
    }
