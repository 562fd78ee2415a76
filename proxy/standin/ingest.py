"""The two calls with which a client attaches a file to a run: they belong to the upstream's ingest service.

A client that is given one whole URL as its host sends them there. Everything else that writes finds nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from proxy.standin import jsvalues, presign, querystring
from proxy.standin.answers import Answer, json_answer
from proxy.standin.asked import Asked, Upstream
from proxy.standin.reads.artifacts import presigned_url
from proxy.standin.routes import authorized, not_found
from proxy.standin.storage import StoredFile

PATH = "/files"


def answer(upstream: Upstream, asked: Asked, method: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """What a request that isn't a GET or a HEAD is answered."""
    match method:
        case "POST" if asked.path == PATH:
            return _announce(upstream, asked, headers, body)
        case "PUT" if asked.path.startswith(presign.PREFIX):
            return _upload(upstream, asked, body)
        case _:
            return not_found()


def _announce(upstream: Upstream, asked: Asked, headers: Mapping[str, str], body: bytes) -> Answer:
    """Presigned URLs to upload to: `{type: [{file name: URL}, ...], ...}`."""
    key = authorized(upstream, asked)
    if isinstance(key, Answer):
        return key
    urls: dict[str, list[dict[str, str]]] = {}
    try:
        entries: list[dict[str, Any]] = jsvalues.parse(body.decode())["files"]
        for entry in entries:
            file = StoredFile(
                tenant=key.organization.id,
                project=headers["X-Project-Name"],
                run_id=int(headers["X-Run-Id"]),
                log_name=entry["logName"],
                file_name=entry["fileName"],
                body=None,
                time_s=float(entry["time"]) / 1000,
                size_bytes=int(entry["fileSize"]),
                step=int(entry.get("step") or 0),
                sample_index=int(entry.get("sampleIndex") or 0),
                caption=entry.get("caption"),
            )
            upstream.storage.put(file)
            url = presigned_url(upstream, asked, file.path, "PUT")
            urls.setdefault(entry["fileType"], []).append({file.file_name: url})
    except (KeyError, TypeError, ValueError) as exc:
        return json_answer({"error": repr(exc)}, 400)
    return json_answer(urls)


def _upload(upstream: Upstream, asked: Asked, body: bytes) -> Answer:
    file = upstream.storage.announced(asked.path)
    query = querystring.decode(asked.query)
    if file is None or not presign.opens("PUT", asked.path, query, upstream.clock()):
        return Answer(status=403, content_type="", headers=())
    upstream.storage.put(replace(file, body=body, size_bytes=len(body)))
    return Answer(content_type="", headers=())
