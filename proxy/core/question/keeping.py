"""Where an answer may be kept."""

from enum import Enum


class Keeping(Enum):
    """Where an answer may be kept. Nowhere but in these places is anything of an answer written down."""

    DISK = "disk"
    """In memory and in the cache file."""
    MEMORY = "memory"
    """In memory alone: the answer holds secrets."""
    ONE_OFF = "one-off"
    """In memory alone, together with a bounded number of its kind: the question will hardly be asked a second time."""
