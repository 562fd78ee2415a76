"""Builds a release into `dist`: `make release`. What comes before and after it, docs/releases.md tells.

It is built of what is committed, in a folder of its own, so that nothing that lies around gets into it; and twice, since
whoever builds this commit is to get the same bytes. `dist/SHA256SUMS` has their digests.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent


class NotReleasedError(Exception):
    """Something is missing; the message says what."""


def version_of(root: Path) -> str:
    """Return the version, which stands in `proxy/__init__.py` and nowhere else."""
    found = re.search(
        r'^__version__ = "(\d+\.\d+\.\d+)"$', (root / "proxy" / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise NotReleasedError("proxy/__init__.py has no version such as 1.2.3")
    return found[1]


def main(root: Path = ROOT) -> int:
    """See the module's docstring. Return the exit status."""
    try:
        version = version_of(root)
        fault = next(_faults(root, version), None)
        built = {} if fault else _build(root)
    except NotReleasedError as exc:
        fault = str(exc)
    if fault:
        sys.stderr.write(f"release: {fault}\n")
        return 1
    folder = root / "dist"
    folder.mkdir(exist_ok=True)
    for name, content in built.items():
        (folder / name).write_bytes(content)
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in built.items())
    (folder / "SHA256SUMS").write_text(sums)
    sys.stdout.write(f"{sums}release: {version} is built in dist; next: git tag -a v{version}\n")
    return 0


def _faults(root: Path, version: str) -> Iterator[str]:
    if changed := _git(root, "status", "--porcelain").splitlines():
        yield f"commit what has changed first: {', '.join(line[3:] for line in changed[:3])}"
    notes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", notes, re.MULTILINE) is None:
        yield f"CHANGELOG.md has no heading `## [{version}] - YYYY-MM-DD`"
    if not (root / "tests" / "data" / "promises" / f"{version}.json").is_file():
        yield f"tests/data/promises has no {version}.json: python -m tests.release.promises"
    tag = f"v{version}"
    if _git(root, "tag", "--list", tag).strip() and _git(root, "rev-list", "-n1", tag) != _git(root, "rev-parse", "HEAD"):
        yield f"{tag} is another commit: choose the next version"


def _build(root: Path) -> dict[str, bytes]:
    """Build both files twice. Return them by name."""
    with tempfile.TemporaryDirectory() as text:
        first, again = (_build_in(root, Path(text, name)) for name in ("first", "again"))
    if first != again:
        raise NotReleasedError("it is built to other bytes each time")
    return first


def _build_in(root: Path, folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    _run(root, "git", "archive", "--output", str(folder / "commit.tar"), "HEAD")
    unpack(folder / "commit.tar", folder / "commit")
    built = folder / "built"
    _hatch(folder / "commit", "sdist", built)
    [sdist] = built.iterdir()
    unpack(sdist, folder / "unpacked")
    [unpacked] = (folder / "unpacked").iterdir()
    _hatch(unpacked, "wheel", built)
    return {path.name: path.read_bytes() for path in sorted(built.iterdir()) if path.name.startswith("pluto_proxy-")}


def unpack(path: Path, into: Path) -> None:
    """Unpack an archive of our own."""
    with tarfile.open(path) as archive:
        # Python has filters since 3.11.4, and from 3.12 on wants one to be named.
        if hasattr(tarfile, "data_filter"):
            archive.extractall(into, filter="data")
        else:
            archive.extractall(into)  # noqa: S202 -- there is nothing in it but what was put there a moment ago


def _hatch(source: Path, target: str, into: Path) -> None:
    _run(source, sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into))


def _git(root: Path, *arguments: str) -> str:
    return _run(root, "git", *arguments)


def _run(root: Path, *command: str) -> str:
    # The time in the files is hatchling's own, the same for all.
    environ = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    try:
        done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 -- commands of our own
    except OSError as exc:
        raise NotReleasedError(f"{command[0]} cannot be run: {exc.strerror}") from None
    if done.returncode:
        raise NotReleasedError(f"{' '.join(command[:3])} failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
