"""Makes a cache file as a commit writes it, for the tests that a later release takes it over.

    python tests/release/make_old_cache.py CHECKOUT NAME

CHECKOUT is a checkout of that commit (`git worktree add`). The proxy there answers some questions about a stand-in, and ends.
`tests/data/caches/NAME.sqlite.gz` is its file, and `NAME.json` has what was asked, with the digests of what the stand-in
says to it. Both live in 2024, since an entry of the future counts as damaged wherever a clock is behind.
"""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

INTO = Path(__file__).parents[1] / "data" / "caches"
# Entries belong to an upstream's address: whoever reads the file has to name the same.
UPSTREAM = "127.0.0.1:18790"
KEY = "mlpi_for_old_caches"
_BEGINNING_S = 1704067200.0  # 2024-01-01
# What runs a module of the checkout at that time.
_THEN = f"""
import runpy, sys, time
real, began = time.time, time.time()
time.time = lambda: {_BEGINNING_S} + real() - began
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=False)
"""
_METRIC = "/api/runs/metrics?runId=2001&projectName=demo&logName=train/loss"
ASKED = (
    "/api/runs/projects",
    "/api/runs/list?projectName=demo",
    "/api/runs/details/2001",
    "/api/runs/metric-names?projectName=demo&runIds=2001",
    f"{_METRIC}&limit=5",
    f"{_METRIC}&limit=2000",
)
# These were never asked: they are computed from what is known of the series.
COMPUTED = (f"{_METRIC}&limit=7", f"{_METRIC}&limit=9&stepMin=100&stepMax=200")


def main(checkout: Path, name: str) -> None:
    """Make both files."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        key = {"PLUTO_API_KEY": KEY}
        standin = _start(checkout, folder, key, "proxy.standin", "--listen", UPSTREAM, "--key", KEY)
        upstream = f"http://{UPSTREAM}"
        settings = {"PLUTO_PROXY_LISTEN": "127.0.0.1:18791", "PLUTO_PROXY_UPSTREAM": upstream}
        cache = {"PLUTO_PROXY_CACHE": str(folder / "cache.sqlite")}
        proxy = _start(checkout, folder, {**key, **settings, **cache}, "proxy", "serve")
        answers = {}
        try:
            for url in (upstream, "http://127.0.0.1:18791"):
                _get(url, "/livez" if url != upstream else ASKED[0], patience_s=20)
            for _ in range(3):
                for target in ASKED:
                    _get("http://127.0.0.1:18791", target)
                time.sleep(2)
            for target in (*ASKED, *COMPUTED):
                body = _get(upstream, target)
                answers[target] = hashlib.sha256(body).hexdigest()
        finally:
            for process in (proxy, standin):
                process.send_signal(signal.SIGTERM)
                process.wait(30)
        INTO.mkdir(exist_ok=True)
        (INTO / f"{name}.sqlite.gz").write_bytes(gzip.compress((folder / "cache.sqlite").read_bytes(), 9, mtime=0))
    told = {
        "upstream": upstream,
        "asked": {url: answers[url] for url in ASKED},
        "computed": {url: answers[url] for url in COMPUTED},
    }
    (INTO / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n")


def _start(checkout: Path, folder: Path, variables: dict[str, str], *arguments: str) -> "subprocess.Popen[bytes]":
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, "-c", _THEN, *arguments], env={**environ, **variables}, cwd=checkout)  # noqa: S603 -- our own


def _get(url: str, target: str, *, patience_s: float = 0) -> bytes:
    request = urllib.request.Request(url + target, headers={"Authorization": f"Bearer {KEY}"})  # noqa: S310 -- an address of our own
    until_s = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 -- as above
                return bytes(response.read())
        except urllib.error.URLError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
