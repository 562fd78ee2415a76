"""nginx and Caddy with the files in `deploy/`, before a server that tells what it got: what `deploy/check` asks for.

`python -m tests.deployment.fronts FOLDER`: FOLDER has a certificate (fullchain.pem, privkey.pem), and takes what they write.
"""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from tests.deployment import DEPLOY
from tests.support.ports import held_port

NAME = "pluto-proxy.example.com"
# Its spelling must arrive: pluto-proxy knows one of each path, and reads the query by itself.
TARGET = "/api/runs/metrics?runId=1&logName=a%2Fb%20c&x=%7e+"
SENT = {"Host": NAME, "Authorization": "Bearer ppt_x", "X-Forwarded-For": "192.0.2.1", "Accept-Encoding": "gzip, zstd"}
ANSWER = {
    "ETag": '"1"',
    "Age": "2",
    "Cache-Status": "pluto-proxy; hit",
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization",
}
PATIENCE_S = 30.0


@dataclass(slots=True)
class Backend:
    """A server in the proxy's place. It tells what it got, and sends events: the second once the first has been read."""

    got: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    first_read: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request to any path."""
        self.got.append((request.raw_path, dict(request.headers)))
        if request.path != "/view/events":
            return web.Response(body=b"x" * 100_000, headers=ANSWER)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await response.write(b"event: state\ndata: 1\n\n")
        await self.first_read.wait()
        await response.write(b"event: rows\ndata: 2\n\n")
        return response


def nginx(folder: Path, backend: int, port: int) -> Sequence[str]:
    """Write nginx's configuration for these ports; return the command that starts it."""
    site = (DEPLOY / "nginx" / "pluto-proxy.conf").read_text()
    changes = {
        "/etc/ssl/pluto-proxy/": f"{folder}/",
        "127.0.0.1:8787": f"127.0.0.1:{backend}",
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "    listen [::]:443 ssl;\n": "",
    }
    http = f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; access_log off;"
    unused = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("fastcgi", "uwsgi", "scgi"))
    text = f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\n{http} {unused}\n{changed(site, changes)}}}\n"
    (folder / "nginx.conf").write_text(text)
    return ("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")


def caddy(folder: Path, backend: int, port: int) -> Sequence[str]:
    """Write Caddy's configuration for these ports; return the command that starts it."""
    site = (DEPLOY / "caddy" / "Caddyfile").read_text()
    changes = {
        "127.0.0.1:8787": f"127.0.0.1:{backend}",
        f"\n{NAME} {{": f"\nhttps://{NAME}:{port} {{\n\ttls {folder}/fullchain.pem {folder}/privkey.pem",
    }
    text = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + changed(site, changes)
    (folder / "Caddyfile").write_text(text)
    return ("caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return a text with changes, each of which must concern it."""
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@asynccontextmanager
async def running(command: Sequence[str], port: int) -> AsyncIterator[None]:
    """Run a front; the body begins when it listens."""
    process = await asyncio.create_subprocess_exec(*command)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with suppress(ConnectionRefusedError):
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                assert process.returncode is None, "it ended"
                await asyncio.sleep(0.02)
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def look(backend: Backend, session: aiohttp.ClientSession, port: int) -> None:
    """Look at what arrives on both sides of a front."""

    def ask(target: str) -> "aiohttp.client._RequestContextManager":
        return session.get(URL(f"https://127.0.0.1:{port}{target}", encoded=True), headers=SENT, server_hostname=NAME)

    async with ask(TARGET) as response:
        assert (response.status, len(await response.read())) == (200, 100_000)
        assert {name: response.headers.get(name) for name in ANSWER} == ANSWER
        assert "Content-Encoding" not in response.headers
    target, headers = backend.got.pop()
    assert target == TARGET
    assert {name: headers.get(name) for name in SENT} == SENT | {"X-Forwarded-For": "127.0.0.1"}
    async with ask(TARGET) as response:
        await response.read()
    assert len(backend.got) == 1, "the second request was not passed on"
    async with ask("/admin/state") as response:
        assert response.status == 404
    assert len(backend.got) == 1, "what is for admins was passed on"
    async with ask("/view/events") as response:
        assert await response.content.readuntil(b"\n\n") == b"event: state\ndata: 1\n\n"
        backend.first_read.set()
        assert await response.content.readuntil(b"\n\n") == b"event: rows\ndata: 2\n\n"


async def main(folder: Path) -> None:
    """Look at each front."""
    trusting = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    for front in (nginx, caddy):
        backend = Backend()
        runner = web.ServerRunner(web.Server(backend.answer))
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            connector = aiohttp.TCPConnector(ssl=trusting)
            with held_port() as port:
                async with (
                    running(front(folder, runner.addresses[0][1], port), port),
                    aiohttp.ClientSession(connector=connector) as session,
                    asyncio.timeout(PATIENCE_S),
                ):
                    await look(backend, session, port)
        finally:
            await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
