"""What the stand-in's tests share: a clock to turn by hand, and requests whose targets stay as they are."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from proxy.standin import Standin

DATA = Path(__file__).parent.parent / "data"
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


def recordings() -> list[dict[str, Any]]:
    with gzip.open(DATA / "recorded.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
