"""What goes over a connection to the upstream: requests as they are sent, and responses that come in more than one message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from proxy import __version__
from tests.support.raw_upstream import VALID, answer, answer_body, response, upstream
from tests.support.world import KEY, METRICS, QUESTION, world


@dataclass(slots=True)
class Told:
    """An upstream that notes the heads of the questions about metrics; `first` goes before each answer to these."""

    first: bytes = b""
    heads: list[str] = field(default_factory=list)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked = METRICS in head
                if asked:
                    self.heads.append(head)
                writer.write(self.first + answer("loss") if asked else response(VALID))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        try:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


async def test_a_request(tmp_path: Path) -> None:
    """It names the host, what is taken, who asks and the key, and nothing else; its target follows the base URL's path."""
    told = Told()
    async with told.serve() as place, world(tmp_path, upstream=f"http://{place}/base/") as running:
        assert (await running.get()).body == answer_body("loss")
    (head,) = told.heads
    assert head.split("\r\n") == [
        f"GET /base{QUESTION} HTTP/1.1",
        f"Host: {place}",
        "Accept: application/json",
        "Accept-Encoding: gzip",
        f"User-Agent: pluto-proxy/{__version__}",
        f"Authorization: Bearer {KEY}",
        "",
        "",
    ]


async def test_interim_responses_are_passed_over(tmp_path: Path) -> None:
    """However many come before the response itself (RFC 9110 section 15.2)."""
    told = Told(first=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    async with told.serve() as place, world(tmp_path, upstream=f"http://{place}") as running:
        for number in range(3):
            assert (await running.get(f"{QUESTION}&stepMin={number}")).body == answer_body("loss")


async def test_what_is_not_http_is_called_that(tmp_path: Path) -> None:
    """The error says so."""

    async def send(_target: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"not http at all\r\n\r\n")

    async with upstream(send) as url, world(tmp_path, upstream=url) as running:
        reply = await running.get()
        assert reply.json["detail"] == "the upstream could not be read: what it sent is not HTTP"
