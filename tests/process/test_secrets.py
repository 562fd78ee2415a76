"""What is secret shows nowhere: not in logs at any level, not in answers, errors, configuration, or the cache's files."""

import asyncio
import re
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from proxy.core.access.grants import digest_of_token
from proxy.standin import Fault, FaultKind, Key, Standin
from proxy.standin.auth import DEMO
from tests.support.processes import proxy_process, run
from tests.support.world import DATA, METRICS, QUESTION

SECRET = "mlpi_S3cr3tS3cr3tS3cr3t"
FAULTS = [
    Fault(kind=FaultKind.STATUS, status=500),
    Fault(kind=FaultKind.STATUS, status=401),
    Fault(kind=FaultKind.STATUS, status=403),
    Fault(kind=FaultKind.STATUS, status=429, retry_after_s=1),
    Fault(kind=FaultKind.HTML, status=404),
    Fault(kind=FaultKind.CUT_HEADERS, times=2),
    Fault(kind=FaultKind.CUT_BODY),
    Fault(kind=FaultKind.NOT_JSON, body=f'{{"Authorization":"Bearer {SECRET}"'),
    Fault(kind=FaultKind.WRONG_SHAPE),
    Fault(kind=FaultKind.REDIRECT, location=f"/?key={SECRET}"),
    Fault(kind=FaultKind.HUGE, size_bytes=3_000_000),
    Fault(kind=FaultKind.HANG),
]


async def test_the_key_shows_nowhere(tmp_path: Path) -> None:
    """Hits, misses, every fault, a refused key, a rotation and a restart, at debug level; then everything is searched."""
    standin = Standin()
    standin.keys.add(Key(text=SECRET, organization=DEMO))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    key_file = tmp_path / "key"
    key_file.write_text(SECRET)
    path = tmp_path / "cache" / "c.sqlite"
    seen: list[str] = []
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        variables = {
            "PLUTO_API_KEY_FILE": str(key_file),
            "PLUTO_PROXY_UPSTREAM": upstream,
            "PLUTO_PROXY_CACHE": str(path),
            "PLUTO_PROXY_LOG__LEVEL": "debug",
            "PLUTO_PROXY_UPSTREAM__DEADLINE_S": "0.5",
            "PLUTO_PROXY_UPSTREAM__COOLDOWN_MAX_S": "1",
            "PLUTO_PROXY_UPSTREAM__MAX_BODY_BYTES": "1MB",
        }
        for fault in FAULTS:
            standin.faults.clear()
            standin.faults.add(fault)
            async with proxy_process(**variables) as running:
                for target in (QUESTION, f"{QUESTION}&stepMin=5", f"{QUESTION}&x={SECRET[:4]}", METRICS, "/", "/readyz"):
                    async with session.get(running.url + target) as response:
                        seen += [str(response.headers), await response.text()]
                key_file.write_text(f"{SECRET}\n\n" if fault.status == 403 else SECRET)
                await running.terminate()
                seen.append(running.log)
        seen += (await run("check", **variables))[1:]
        seen += (await run("check", PLUTO_API_KEY=SECRET))[1:]
        seen += (await run("serve", PLUTO_API_KEY=SECRET + " two", PLUTO_PROXY_CACHE=str(path)))[1:]
    for found in sorted(tmp_path.rglob("c.sqlite*")):
        seen.append(found.read_bytes().decode("latin-1"))
    text = "\n".join(seen)
    assert len(text) > 50_000
    assert "key-refused" in text
    assert "S3cr3t" not in text


def carrying(token: str) -> list[bytes]:
    """Requests with a token, good ones and such as no client should send."""
    head = f"GET {QUESTION} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    fields = [
        f"Authorization: Bearer {token}",
        f"Authorization: bearer  {token} ",
        f"Authorization: Basic {token}",
        f"Authorization: {token}",
        f"Authorization: Bearer {token}\r\nAuthorization: Bearer {token}",
        f"Authorization: Bearer {token}\x00",
        f"Authorization: Bearer {token}\x01",
        f"Authorization : Bearer {token}",
        f"Authorization\x00: Bearer {token}",
        f"Authorization: Bearer\r\n {token}",
        f"Bearer {token}",
        f"Cookie: session={token}",
        f"X-Request-ID: {token}!",
        f"Authorization: Bearer {token}\r\nContent-Length: x",
    ]
    lines = [f"{head}{field}\r\nConnection: close\r\n\r\n" for field in fields]
    lines.append(f"GET {QUESTION}&token={token} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    lines.append(f"Authorization: Bearer {token}\r\n\r\n")
    return [line.encode("latin-1") for line in lines]


async def exchanged(url: str, request: bytes) -> str:
    """Send bytes and return whatever comes until the connection ends."""
    reader, writer = await asyncio.open_connection(URL(url).host, URL(url).port)
    writer.write(request)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer.decode("latin-1")


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_tokens_and_presigned_addresses_show_nowhere(tmp_path: Path, log_format: str) -> None:
    """However a token is sent, whatever is asked of the proxy about itself; an address in the answer of `files` alone."""
    standin = Standin()
    standin.keys.add(Key(text=SECRET, organization=DEMO))
    standin.rows.load_csv(DATA / "rows.csv.gz")
    variables = {
        "PLUTO_API_KEY": SECRET,
        "PLUTO_PROXY_CACHE": str(tmp_path / "cache" / "c.sqlite"),
        "PLUTO_PROXY_ACCESS__TOKENS_FILE": str(tmp_path / "access" / "tokens.json"),
        "PLUTO_PROXY_LOG__LEVEL": "debug",
        "PLUTO_PROXY_LOG__FORMAT": log_format,
    }
    tokens = []
    for name, more in (("root", ["--admin"]), ("team", ["--project", "demo"]), ("gone", [])):
        tokens.append((await run("token", "add", name, *more, **variables))[1].strip())
    assert (await run("token", "revoke", "gone", **variables))[0] == 0
    root, team, _ = ({"Authorization": f"Bearer {token}"} for token in tokens)
    seen: list[str] = []
    files = f"{METRICS.removesuffix('metrics')}files?runId=1&projectName=demo"
    async with standin.serve() as upstream, aiohttp.ClientSession() as session:
        async with proxy_process(PLUTO_PROXY_UPSTREAM=upstream, **variables) as running:
            for token in tokens:
                seen += [await exchanged(running.url, request) for request in carrying(token)]
            for headers in (root, team) * 2:
                async with session.get(running.url + files, headers=headers) as response:
                    assert "X-Amz-Signature=" in await response.text()
                    seen.append(str(response.headers))
            standin.faults.add(Fault(kind=FaultKind.CUT_BODY, path=files.partition("?")[0], times=None))
            for path in (
                f"{files}&logName=x",
                "/admin/state",
                "/admin/usage",
                "/admin/history",
                "/metrics",
                "/readyz?verbose",
                "/openapi.json",
            ):
                async with session.get(running.url + path, headers=root) as response:
                    seen += [str(response.headers), await response.text()]
            async with session.post(f"{running.url}/admin/purge", json={"everything": True}, headers=root) as response:
                seen.append(await response.text())
            command = Path(f"/proc/{running.process.pid}/cmdline")
            seen.append(command.read_bytes().decode() if command.exists() else "")
            await running.terminate()
            seen.append(running.log)
        for arguments in (("check",), ("token", "list"), ("token", "add", "team"), ("token", "revoke", "nobody")):
            seen += (await run(*arguments, **variables))[1:]
    seen += [file.read_bytes().decode("latin-1") for file in tmp_path.rglob("c.sqlite*")]
    text = "\n".join(seen)
    assert "cache.purged" in text
    assert "Bad request" in text
    assert not re.search("S3cr3t|X-Amz-|/storage/", text)
    for token in tokens:
        # Nor a part of one that would make it easier to find the rest.
        assert token[4:16] not in text
        assert digest_of_token(token)[:16] not in text
