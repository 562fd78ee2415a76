"""What is refused here: over raw sockets, since clients' libraries would mend such requests before sending them."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from yarl import URL

from tests.support.world import World, world

GOOD = "/api/runs/metrics?runId=1&projectName=demo"
HOST = "Host: 127.0.0.1\r\n"
REFUSED = {
    "an unknown path": ("GET /api/runs/nothing HTTP/1.1", 404),
    "a writing route read": ("GET /api/runs/create HTTP/1.1", 404),
    "another case": ("GET /api/runs/Metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "an encoded letter": ("GET /api/runs/%6Detrics?runId=1&projectName=demo HTTP/1.1", 404),
    "an encoded slash": ("GET /api/runs%2Fmetrics?runId=1&projectName=demo HTTP/1.1", 404),
    "an encoded slash at the end": ("GET /api/runs/metrics%2F?runId=1&projectName=demo HTTP/1.1", 404),
    "a doubled slash": ("GET /api/runs//metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "a doubled slash in front": ("GET //api/runs/metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "a slash at the end": ("GET /api/runs/metrics/?runId=1&projectName=demo HTTP/1.1", 404),
    "a dot segment": ("GET /api/runs/./metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "two dots": ("GET /api/runs/x/../metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "encoded dots": ("GET /api/runs/%2e%2e/runs/metrics?runId=1&projectName=demo HTTP/1.1", 404),
    "a matrix parameter": ("GET /api/runs/metrics;x=1?runId=1&projectName=demo HTTP/1.1", 404),
    "another host in the absolute form": (f"GET http://example.com{GOOD} HTTP/1.1", 421),
    "no host in the absolute form": (f"GET http://{GOOD} HTTP/1.1", 400),
    "another scheme in the absolute form": (f"GET https://127.0.0.1{GOOD} HTTP/1.1", 421),
    "an unknown scheme": (f"GET ftp://127.0.0.1{GOOD} HTTP/1.1", 404),
    "a user in the absolute form": (f"GET http://evil.com@127.0.0.1{GOOD} HTTP/1.1", 400),
    "a host as a user": (f"GET http://127.0.0.1@evil.com{GOOD} HTTP/1.1", 400),
    "a backslash behind the host": (f"GET http://127.0.0.1\\@evil.com{GOOD} HTTP/1.1", 400),
    "a fragment behind the host": (f"GET http://127.0.0.1#{GOOD} HTTP/1.1", 400),
    "no port behind the host": (f"GET http://127.0.0.1:x{GOOD} HTTP/1.1", 400),
    "an unknown path in the absolute form": ("GET http://127.0.0.1/api/runs/nothing HTTP/1.1", 404),
    "an encoded letter in the absolute form": (
        "GET http://127.0.0.1/api/runs/%6Detrics?runId=1&projectName=demo HTTP/1.1",
        404,
    ),
    "POST in the absolute form": (f"POST http://127.0.0.1{GOOD} HTTP/1.1", 405),
    "the authority form": ("CONNECT 127.0.0.1:80 HTTP/1.1", 405),
    "the asterisk form read": ("GET * HTTP/1.1", 400),
    "an authority alone": ("GET 127.0.0.1:80 HTTP/1.1", 400),
    "a path without a slash": ("GET api/runs/metrics?runId=1&projectName=demo HTTP/1.1", 400),
    "details of nothing": ("GET /api/runs/details/ HTTP/1.1", 404),
    "details and a slash": ("GET /api/runs/details/1/ HTTP/1.1", 404),
    "details of more": ("GET /api/runs/details/1/2 HTTP/1.1", 404),
    "details of no number": ("GET /api/runs/details/abc HTTP/1.1", 400),
    "details up and away": ("GET /api/runs/details/.. HTTP/1.1", 400),
    "details encoded up and away": ("GET /api/runs/details/%2E%2E HTTP/1.1", 400),
    "a display id up and away": ("GET /api/runs/details/by-display-id/%2e%2e HTTP/1.1", 400),
    "a display id of two segments": ("GET /api/runs/details/by-display-id/MMP-1%2Fx HTTP/1.1", 400),
    "a display id with a backslash": ("GET /api/runs/details/by-display-id/MMP-1%5Cx HTTP/1.1", 400),
    "a display id with a line end": ("GET /api/runs/details/by-display-id/MMP-1%00 HTTP/1.1", 400),
    "a display id cut off": ("GET /api/runs/details/by-display-id/%C3 HTTP/1.1", 400),
    "POST": (f"POST {GOOD} HTTP/1.1", 405),
    "creating a run": ("POST /api/runs/create HTTP/1.1", 405),
    "resuming a run": ("POST /api/runs/resume HTTP/1.1", 405),
    "signing in": ("POST /api/slug HTTP/1.1", 405),
    "uploading a file": ("POST /files HTTP/1.1", 405),
    "PUT": (f"PUT {GOOD} HTTP/1.1", 405),
    "PATCH": (f"PATCH {GOOD} HTTP/1.1", 405),
    "DELETE": (f"DELETE {GOOD} HTTP/1.1", 405),
    "TRACE": (f"TRACE {GOOD} HTTP/1.1", 405),
    "OPTIONS that is no preflight": (f"OPTIONS {GOOD} HTTP/1.1", 405),
    "QUERY": (f"QUERY {GOOD} HTTP/1.1", 405),
    "an unknown method": (f"BREW {GOOD} HTTP/1.1", 400),
    "no HTTP": ("\x16\x03\x01 hello", 400),
    "the asterisk form": ("OPTIONS * HTTP/1.1", 405),
    "a long line": (f"GET /{chr(97) * 20_000} HTTP/1.1", 400),
    "a word of the list that nobody knows": ("GET /api/runs/logs?runId=1&projectName=p&logType=info HTTP/1.1", 400),
    "too many runs": (f"GET /api/runs/compare?projectName=p&logName=m&runIds={'1,' * 100}1 HTTP/1.1", 400),
}


async def ask(running: World, lines: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is written; return status, fields and body of the answer."""
    url = URL(running.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        writer.write(lines.encode("latin-1"))
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *fields = head.rstrip("\r\n").split("\r\n")
            headers = dict(field.split(": ", 1) for field in fields)
            return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers["Content-Length"]))
    finally:
        writer.close()


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_without_a_call(tmp_path: Path, name: str) -> None:
    """Whatever isn't a read of the table gets a problem document, and the upstream hears nothing of it."""
    line, status = REFUSED[name]
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        before = running.standin.counters.total
        got, headers, body = await ask(running, f"{line}\r\n{HOST}\r\n")
        document = msgspec.json.decode(body)
        assert (got, document["status"]) == (status, status)
        assert headers["Content-Type"] == "application/problem+json"
        assert document["error"]
        assert document["detail"]
        assert document["request_id"] == headers["X-Request-ID"]
        assert headers["Server"] == "pluto-proxy"
        assert running.standin.counters.total == before
        # The connection, and the proxy, are good for a question that may be asked.
        assert (await running.get(GOOD)).status == 200


@pytest.mark.parametrize("path", ["/files", "/ingest/metrics", "/ingest/data", "/ingest/logs"])
async def test_what_goes_to_the_ingest_server_is_told_where_that_is(tmp_path: Path, path: str) -> None:
    """What a client posts there came here by `host=` or PLUTO_URL_INGEST: both are named, and how to get past the proxy."""
    async with world(tmp_path) as running:
        _, _, body = await ask(running, f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}")
        told = body[:500].decode()
        assert all(word in told for word in ("only reads", "PLUTO_URL_INGEST", "without host="))


async def test_training_through_the_proxy_is_told_what_to_set(tmp_path: Path) -> None:
    """What a training script posts is answered with the setting to change."""
    async with world(tmp_path) as running:
        _, headers, body = await ask(running, f"POST /api/runs/create HTTP/1.1\r\n{HOST}Content-Length: 2\r\n\r\n{{}}")
        document = msgspec.json.decode(body)
        assert "only reads" in document["error"][:200]
        assert "PLUTO_URL_API" in document["error"][:200]
        assert headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("target", ["/", "http://127.0.0.1", f"http://127.0.0.1?x={GOOD}"])
async def test_the_root_asks_nothing(tmp_path: Path, target: str) -> None:
    """The root is the page, where that is there, in whichever form it is asked for: the upstream hears nothing of it."""
    async with world(tmp_path) as running:
        await running.parts.tenancy.settled()
        before = running.standin.counters.total
        got, _, _ = await ask(running, f"GET {target} HTTP/1.1\r\n{HOST}\r\n")
        assert got in {200, 404}
        assert running.standin.counters.total == before
