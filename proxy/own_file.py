"""Files that this process made at a path where another one may take their place, such as those of Unix sockets."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

Identity = tuple[int, int]
"""Which file it is: its device and its inode. It holds while the file is there, or a socket that was bound to it is open."""


def identity_of(path: Path) -> Identity:
    """Return which file is at a path; a link counts itself. Raises OSError."""
    found = path.lstat()
    return found.st_dev, found.st_ino


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFile:
    """A file by its path, and which one it is."""

    path: Path
    identity: Identity

    @property
    def is_there(self) -> bool:
        """Whether it is still at its path."""
        try:
            return identity_of(self.path) == self.identity
        except OSError:
            return False

    def set_mode(self, mode: int) -> None:
        """Set the file's mode, unless another one has taken its place. Raises OSError."""
        if self.is_there:
            self.path.chmod(mode)

    def remove(self) -> None:
        """Remove the file, unless another one has taken its place. What cannot be removed stays."""
        if self.is_there:
            with suppress(OSError):
                self.path.unlink()
