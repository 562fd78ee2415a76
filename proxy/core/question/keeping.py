"""Where an answer may be kept."""

from enum import Enum


class Keeping(Enum):
    """Where an answer may be kept. Nothing of it is written anywhere else."""

    DISK = "disk"
    """In memory and in the cache file."""
    MEMORY = "memory"
    """In memory alone, since the answer holds secrets."""
    ONE_OFF = "one-off"
    """In memory alone, among a bounded number of its kind, since the question will hardly be asked a second time."""
