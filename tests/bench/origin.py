"""The upstream of the bench, a process of its own: ready-made answers, at once or after as long as the question asks for."""

import asyncio

from aiohttp import web

from tests.bench.bodies import METRICS_PATH, VALIDATE_PATH, VALIDATED, answer, read_project
from tests.bench.serving import listen

CALLS_PATH = "/calls"
_JSON = {"Content-Type": "application/json"}


def make_app() -> web.Application:
    """Return the application; `/calls` tells how many metric questions it was asked."""
    calls = 0

    async def metrics(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        points, wait_s = read_project(request.query["projectName"])
        if wait_s:
            await asyncio.sleep(wait_s)
        return web.Response(body=answer(points, request.query["logName"]), headers=_JSON)

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
