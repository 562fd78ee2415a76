"""Files that others may replace: touched only while they are still one's own."""

import stat
from pathlib import Path

from proxy.own_file import OwnFile, identity_of


def made(path: Path) -> OwnFile:
    path.touch(mode=0o644)
    return OwnFile(path=path, identity=identity_of(path))


def test_ones_own(tmp_path: Path) -> None:
    """Its mode is set, and it is removed; a second time there is nothing to do."""
    file = made(tmp_path / "a")
    file.set_mode(0o600)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.remove()
    file.remove()
    file.set_mode(0o644)
    assert not list(tmp_path.iterdir())


def test_somebody_elses(tmp_path: Path) -> None:
    """Another file at the path, and a link to one's own, stay as they are."""
    file = made(tmp_path / "a")
    file.path.rename(tmp_path / "b")
    other = made(tmp_path / "a")
    file.set_mode(0o600)
    file.remove()
    assert other.is_there
    assert stat.S_IMODE(other.path.stat().st_mode) == 0o644
    other.remove()
    file.path.symlink_to(tmp_path / "b")
    file.set_mode(0o600)
    file.remove()
    assert file.path.is_symlink()
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o644
