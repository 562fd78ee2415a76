"""What the proxy is measured against, a process of its own: aiohttp handlers that return ready bytes and do nothing else.

Each answer has a path of its own, so that nothing is looked up or decided; whatever query comes with it is ignored.
"""

import asyncio
import importlib
import sys
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.core.freshness.entry import Coding
from proxy.core.http.coding import encode
from tests.bench.bodies import LARGE, SMALL, answer_to
from tests.bench.serving import listen

ETAG = '"0123456789abcdef0123456789abcdef"'


def ready_path(points: int, coding: Coding, *, not_modified: bool) -> str:
    """Return the path of one ready answer."""
    return f"/{points}/{'304' if not_modified else '200'}/{coding}"


def make_app() -> web.Application:
    """Return the application, with every answer made."""
    app = web.Application()
    for points in (SMALL, LARGE):
        for coding in Coding:
            headers = {"Content-Type": "application/json", "ETag": ETAG}
            if coding is not Coding.IDENTITY:
                headers["Content-Encoding"] = coding
            body = encode(answer_to(points, 0), coding)
            app.router.add_get(ready_path(points, coding, not_modified=False), _answering(body, headers))
            app.router.add_get(ready_path(points, coding, not_modified=True), _not_modified({"ETag": ETAG}))
    return app


def _answering(body: bytes, headers: Mapping[str, str]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    return handle


def _not_modified(headers: Mapping[str, str]) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=304, headers=headers)

    return handle


if __name__ == "__main__":
    loop = sys.argv[1]  # the proxy's own kind, which need not be installed
    run = asyncio.run if loop == "asyncio" else importlib.import_module(loop).run
    run(listen(make_app()))
