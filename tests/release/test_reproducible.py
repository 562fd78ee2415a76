"""Whoever builds a release gets the same bytes."""

import hashlib
import os
from pathlib import Path

from tests.release.building import Built, build, copy


def digest(path: Path) -> tuple[str, str]:
    return path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def disguise(folder: Path) -> None:
    """Give every file the mode that a checkout with umask 077 has, and another time."""
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o077)
            os.utime(path, (1e9 + number, 1e9 + number))


def test_built_elsewhere(built: Built, tmp_path: Path) -> None:
    """Another folder, times, modes, hash seed, time zone and locale; from the checkout or from the source distribution."""
    other = copy(tmp_path / "a folder with another name")
    disguise(other)
    before = os.umask(0o077)
    try:
        unlike = {"PYTHONHASHSEED": "7", "TZ": "Pacific/Auckland", "LC_ALL": "C", "PYTHONUTF8": "0"}
        sdist = build("sdist", other, tmp_path / "one", **unlike)
        wheel = build("wheel", other, tmp_path / "two", **unlike)
    finally:
        os.umask(before)
    assert digest(sdist) == digest(built.sdist)
    assert digest(wheel) == digest(built.wheel)
