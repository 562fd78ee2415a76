"""`/livez`: the process answers. `/readyz`: it should be sent requests."""

from collections.abc import Callable

from aiohttp import web

from proxy.web.keys import Parts


def livez(_parts: Parts) -> web.Response:
    """Return 200: whoever can answer is alive."""
    return web.Response(text="ok\n")


def readyz(parts: Parts) -> web.Response:
    """Return 200 while requests are taken, 503 once the process is ending. An upstream that fails does not make it unready."""
    if parts.draining:
        return web.Response(status=503, text="draining\n")
    return web.Response(text="ok\n")


HEALTH: dict[str, Callable[[Parts], web.Response]] = {"/livez": livez, "/readyz": readyz}
