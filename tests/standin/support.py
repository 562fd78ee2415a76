"""What the stand-in's tests share: a clock to turn by hand, and requests whose targets stay as they are."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.standin import Row, RunStatus, Standin

KEY = {"Authorization": "Bearer mlpi_standin_key"}


@dataclass
class Clock:
    """Seconds that pass only when told to."""

    now_s: float = 1_780_000_000.0

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, delay_s: float) -> None:
        self.now_s += delay_s


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json["metrics"]
        return rows


@dataclass
class Caller:
    """A real client of a served stand-in."""

    standin: Standin
    url: str
    session: aiohttp.ClientSession

    async def ask(
        self,
        query: str | None,
        *,
        path: str = "/api/runs/metrics",
        headers: Mapping[str, str] = KEY,
        method: str = "GET",
    ) -> Reply:
        target = path if query is None else f"{path}?{query}"
        # `encoded`: yarl would repair what the tests want to send broken.
        url = URL(self.url + target, encoded=True)
        async with self.session.request(method, url, headers=headers, allow_redirects=False) as answer:
            return Reply(status=answer.status, headers=answer.headers, body=await answer.read())

    async def control(self, method: str, name: str, value: object = None) -> Reply:
        async with self.session.request(method, f"{self.url}/_standin/{name}", json=value) as answer:
            return Reply(status=answer.status, headers=answer.headers, body=await answer.read())


async def raw_exchange(url: str, request: bytes) -> bytes:
    """What a server answers to exactly these bytes, until it closes the connection."""
    parts = URL(url)
    reader, writer = await asyncio.open_connection(parts.host, parts.port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


RUNS = "/api/runs/"


async def read(caller: Caller, target: str, *, key: Mapping[str, str] = KEY) -> Any:
    """The JSON of a read route's 200, by its path under /api/runs/ and its query."""
    path, mark, query = target.partition("?")
    reply = await caller.ask(query if mark else None, path=RUNS + path, headers=key)
    assert reply.status == 200, reply.body
    return reply.json


async def refused(caller: Caller, target: str) -> tuple[int, Any]:
    """Status and error of a read route's refusal: its words, or the issues of the schema's 400."""
    path, mark, query = target.partition("?")
    reply = await caller.ask(query if mark else None, path=RUNS + path)
    error = reply.json["error"]
    return reply.status, error if isinstance(error, str) else error["issues"]


def listed_runs(clock: Clock) -> Standin:
    """Four runs of `demo` a minute apart, the last one without rows, and one of another project."""
    standin = Standin(clock=clock)
    start_s = clock.now_s
    for number, (run_id, project) in enumerate([(1, "demo"), (2, "demo"), (3, "demo"), (4, "demo"), (5, "other")]):
        run = standin.catalogue.add(run_id, project=project, name=f"run-{'abcde'[number]}", created_at_s=start_s + 60 * number)
        run.tags = ["even"] if run_id % 2 == 0 else ["odd", "größe"]
        run.config = {"lr": run_id / 10, "opt": {"name": "adam" if run_id < 3 else "Lion"}, "seed": "007", "when": None}
        run.system_metadata = {"konduktor": {"job_name": f"train-{run_id % 2}-{run_id}"}}
    for run_id, hour, value in ((1, 3, 0.5), (2, 1, 0.1), (3, 2, 0.9), (5, 4, 0.7)):
        time, project = f"2026-06-01 0{hour}:00:00.500", "other" if run_id == 5 else "demo"
        standin.rows.insert([Row(run_id=run_id, log_name="loss", step=1, value=value, time=time, project=project)])
    standin.catalogue.change(2, status=RunStatus.COMPLETED)
    standin.catalogue.change(3, status=RunStatus.FAILED)
    return standin
