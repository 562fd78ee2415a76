"""The upstream of the bench, a process of its own: ready-made answers, at once or after as long as the question asks for.

They are compressed only for those who say `Bench-Compress`: caches that keep what they are given, in each coding.
"""

import asyncio

from aiohttp import web

from proxy.core.freshness.entry import Coding
from proxy.core.http.coding import encode
from tests.bench.bodies import METRICS_PATH, VALIDATE_PATH, VALIDATED, answer, grown, read_project
from tests.bench.serving import listen

CALLS_PATH = "/calls"
_JSON = {"Content-Type": "application/json"}
_COMPRESSED = frozenset(Coding) - {Coding.IDENTITY}


def make_app() -> web.Application:
    """Return the application; `/calls` tells how many metric questions it was asked."""
    calls = 0

    async def metrics(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        project_name = request.query["projectName"]
        points, wait_s = read_project(project_name)
        if wait_s:
            await asyncio.sleep(wait_s)
        body = grown(project_name, answer(points, request.query["logName"]), calls)
        coding = request.headers.get("Accept-Encoding", "")
        if "Bench-Compress" not in request.headers or coding not in _COMPRESSED:
            return web.Response(body=body, headers=_JSON)
        return web.Response(body=encode(body, Coding(coding)), headers=_JSON | {"Content-Encoding": coding})

    async def validate(_: web.Request) -> web.Response:
        return web.Response(body=VALIDATED, headers=_JSON)

    async def called(_: web.Request) -> web.Response:
        return web.Response(text=str(calls))

    app = web.Application()
    app.router.add_get(METRICS_PATH, metrics)
    app.router.add_get(VALIDATE_PATH, validate)
    app.router.add_get(CALLS_PATH, called)
    return app


if __name__ == "__main__":
    asyncio.run(listen(make_app()))
