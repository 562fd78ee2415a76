"""Expanding `~` in paths, and what to set if there is no home directory."""

from collections.abc import Mapping
from pathlib import Path


def expand_home(path: Path, environ: Mapping[str, str], *, variable: str) -> Path:
    """Return a path as an absolute one, with `~` replaced by the home directory.

    That is HOME, or else what the system knows about the user. Raises ValueError if there is no home directory. The message
    names `variable`, the environment variable that sets the path.
    """
    home = environ.get("HOME")
    if home is not None and path.parts[:1] == ("~",) and not Path(home).is_absolute():
        raise ValueError(f"{path} is in the home directory, and HOME is no absolute path; set {variable}, or HOME")
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        if path.parts[0] != "~":
            raise ValueError(f"{path} is in the home of a user whom this machine doesn't know; set {variable}") from None
        raise ValueError(f"{path} is in the home directory, and this user has none; set {variable}, or HOME") from None
