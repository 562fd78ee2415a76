"""The upstream of the scenario `series`, a process of its own: it samples by the upstream's rule and counts what it sends."""

import asyncio

from aiohttp import web

from tests.bench.bodies import METRICS_PATH, VALIDATE_PATH, VALIDATED
from tests.bench.long_run import (
    DEFAULT_LIMIT,
    IN_A_GROUP,
    NAMES,
    WAIT_MS,
    Panel,
    group_of,
    length_of,
    name_of,
    pieces,
    sent_rows,
)
from tests.bench.serving import listen

SENT_PATH = "/sent"
# `details` lists no more.
_MOST_LISTED = 1_000
_JSON = {"Content-Type": "application/json"}
_numbers = {name_of(number): number for number in range(NAMES)}
_groups = {group_of(number // IN_A_GROUP): number // IN_A_GROUP for number in range(NAMES)}


class Origin:
    """Answers for runs of any number. `calls`, `rows` and `body_bytes` are of metric questions."""

    def __init__(self) -> None:
        self.calls = self.rows = self.body_bytes = 0

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Send one metric's rows after the other, as fast as they are taken."""
        self.calls += 1
        query = request.query
        await asyncio.sleep(WAIT_MS / 1000)
        panel = Panel(
            name=_numbers[query["logName"]] if "logName" in query else None,
            group=_groups[query["logGroup"]] if "logGroup" in query else None,
            limit=int(query.get("limit", DEFAULT_LIMIT)),
            first=int(query["stepMin"]) if "stepMin" in query else None,
            last=int(query["stepMax"]) if "stepMax" in query else None,
        )
        if panel.name is not None:
            (body,) = list(pieces(panel)) or [b""]
            self._count(body, len(sent_rows(panel)))
            return web.Response(body=b'{"metrics":[' + body + b"]}", headers=_JSON)
        response = web.StreamResponse(headers=_JSON)
        response.content_length = length_of(panel)
        await response.prepare(request)
        separator, rows = b'{"metrics":[', len(sent_rows(panel))
        for piece in pieces(panel):
            self._count(piece, rows)
            await response.write(separator + piece)
            separator = b","
        await response.write(b"]}")
        return response

    async def details(self, request: web.Request) -> web.Response:
        """Tell of a run as many names as the upstream lists."""
        await asyncio.sleep(WAIT_MS / 1000)
        listed = [{"logName": name, "logType": "METRIC", "logGroup": None} for name in list(_numbers)[:_MOST_LISTED]]
        run = int(request.match_info["run"])
        return web.json_response({"id": run, "name": "r", "status": "COMPLETED", "projectName": "bench", "logNames": listed})

    async def sent(self, _: web.Request) -> web.Response:
        """Tell the counts."""
        return web.Response(text=f"{self.calls} {self.rows} {self.body_bytes}")

    def _count(self, piece: bytes, rows: int) -> None:
        self.rows += rows
        self.body_bytes += len(piece) + 1


async def _validate(_: web.Request) -> web.Response:
    return web.Response(body=VALIDATED, headers=_JSON)


def make_app() -> web.Application:
    """Return the application, with every row made."""
    list(pieces(Panel(name=0)))
    origin = Origin()
    app = web.Application()
    app.router.add_get(METRICS_PATH, origin.metrics)
    app.router.add_get("/api/runs/details/{run}", origin.details)
    app.router.add_get(VALIDATE_PATH, _validate)
    app.router.add_get(SENT_PATH, origin.sent)
    return app


if __name__ == "__main__":
    asyncio.run(listen(make_app()))
