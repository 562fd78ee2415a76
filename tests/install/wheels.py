"""Wheels made of what is installed here, releases of it that don't exist yet, and lock files that name them.

So an installation can be tried without a network, in a world where everything has a newer release.
"""

import base64
import hashlib
import re
import sys
import sysconfig
from collections.abc import Container, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from zipfile import ZipFile, ZipInfo

# What an installer leaves beside what a wheel holds.
_LEFT = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json"}
# `NAME[EXTRA]==VERSION ; MARKER \`, then a hash a line.
_PIN = re.compile(r"^([\w.-]+)((?:\[[\w,-]+\])?==)(\S+)( ; [^\\\n]*)?((?: ?\\\n +--hash=\S+)+)$", re.MULTILINE)
NEWER = "9999"


def folders() -> list[Path]:
    """Return where the packages of this environment lie: its own, and the folders beside that `make` fills."""
    return [Path(sysconfig.get_path("platlib")), *(Path(sys.prefix) / name for name in ("client", "release", "oldest-pip"))]


def pins(lock: str) -> Iterator[tuple[str, str]]:
    """Yield the names, in their one spelling, and versions in a lock file."""
    for found in _PIN.finditer(lock):
        yield spelled(found[1]), found[3]


def spelled(name: str) -> str:
    """Return the one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def repack(lock: str, into: Path) -> None:
    """Make a wheel of everything that a lock file names and that is installed here."""
    named = set(pins(lock))
    for found in distributions(path=list(map(str, folders()))):
        if (spelled(found.name), found.version) in named:
            _wheel(found, into, None, used=True)


def release(lock: str, into: Path, *, asking: Mapping[str, str], unused: Container[str] = ()) -> str:
    """Make a wheel of everything that a lock file names and that is installed here, and one of a newer release of it.

    `asking` are further requirements of some of them, by name. Of those in `unused` there is only what says what they are: to
    install all of it would take most of the time. Return the lock file with the hashes of the former; what is for other
    machines stays as it was.
    """
    there = {(spelled(found.name), found.version): found for found in distributions(path=list(map(str, folders())))}

    def pinned(found: re.Match[str]) -> str:
        distribution = there.get((spelled(found[1]), found[3]))
        if distribution is None:
            return found[0]
        digest = _wheel(distribution, into, asking.get(spelled(found[1])), used=spelled(found[1]) not in unused)
        _newer(distribution, into)
        return f"{found[1]}{found[2]}{found[3]}{found[4] or ''} \\\n    --hash=sha256:{digest}"

    return _PIN.sub(pinned, lock)


def _wheel(distribution: Distribution, into: Path, asked: str | None, *, used: bool) -> str:
    """Pack what is installed into a wheel again, without its scripts; return its SHA-256."""
    contents = {
        str(file): Path(str(file.locate())).read_bytes()
        for file in distribution.files or ()
        if ".." not in file.parts
        and "__pycache__" not in file.parts
        and file.name not in _LEFT
        and (used or ".dist-info" in file.parts[0])
    }
    if asked is not None:
        [name] = [name for name in contents if name.endswith(".dist-info/METADATA")]
        contents[name] = contents[name].replace(b"\nVersion: ", f"\nRequires-Dist: {asked}\nVersion: ".encode(), 1)
    return _write(into, distribution.name, distribution.version, contents)


def _newer(distribution: Distribution, into: Path) -> None:
    metadata = (distribution.read_text("METADATA") or "").replace(
        f"\nVersion: {distribution.version}\n", f"\nVersion: {NEWER}\n", 1
    )
    folder = f"{_escaped(distribution.name)}-{NEWER}.dist-info"
    told = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    _write(into, distribution.name, NEWER, {f"{folder}/METADATA": metadata.encode(), f"{folder}/WHEEL": told.encode()})


def _write(into: Path, name: str, version: str, contents: Mapping[str, bytes]) -> str:
    """Write a wheel, the same each time; return its SHA-256."""
    path = into / f"{_escaped(name)}-{version}-py3-none-any.whl"
    folder = next(file.split("/")[0] for file in contents if ".dist-info/" in file)
    lines = [f'"{file}",sha256={_encoded(data)},{len(data)}' for file, data in contents.items()]
    record = "\n".join([*lines, f"{folder}/RECORD,,", ""]).encode()
    with ZipFile(path, "w") as wheel:
        for file, data in [*contents.items(), (f"{folder}/RECORD", record)]:
            wheel.writestr(ZipInfo(file), data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _escaped(name: str) -> str:
    return spelled(name).replace("-", "_")


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
