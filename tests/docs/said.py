"""Words with and without a meaning."""

from enum import Enum


class Told(Enum):
    A = "a"
    """The first."""


class Untold(Enum):
    A = "a"
    """The first."""
    B = "b"
