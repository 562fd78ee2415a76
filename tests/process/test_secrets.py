"""The key shows nowhere: not in logs at any level, not in answers, errors, configuration, or the cache's files."""

from pathlib import Path

import aiohttp

from proxy.standin import Fault, FaultKind, Key, Standin
from proxy.standin.auth import DEMO
from tests.process.support import proxy_process, run
from tests.support import DATA, METRICS, QUESTION

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
