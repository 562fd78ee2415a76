"""A run as the upstream's relational database holds it, and the short ids that people give it."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_SEPARATORS = re.compile(r"[-_\s.]+")
_DISPLAY_ID = re.compile(r"([A-Za-z0-9]+)-([0-9]+)")
_PREFIX_MIN = 3
_PREFIX_MAX = 4
Fields = dict[str, Any]


class RunStatus(StrEnum):
    """In the database's order, which is that of a sort by status."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusEvent:
    """A change of a run's status at a wall time; `from_status` is None for the run's creation."""

    id: int
    from_status: RunStatus | None
    to_status: RunStatus
    at_s: float
    source: str = "api"
    actor_id: str | None = "user_standin"
    api_key_id: str | None = "key_standin"


@dataclass(slots=True, kw_only=True)
class Run:
    """A run. Times are wall seconds; `number` counts the runs of its project from 1.

    `logs_grow` says whether its console goes on while it is RUNNING.
    """

    id: int
    project: str
    number: int
    name: str
    created_at_s: float
    updated_at_s: float
    tenant: str = "org_demo"
    status: RunStatus = RunStatus.RUNNING
    status_updated_s: float | None = None
    tags: list[str] = field(default_factory=list)
    config: Fields | None = None
    system_metadata: Fields | None = None
    external_id: str | None = None
    events: list[StatusEvent] = field(default_factory=list)
    logs_grow: bool = False

    @property
    def prefix(self) -> str:
        """The first half of its display id."""
        return prefix_of(self.project)

    @property
    def display_id(self) -> str:
        """Such as `DEM-1`: not unique, since projects may share a prefix."""
        return f"{self.prefix}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project and the number of its runs; times are wall seconds."""

    id: int
    name: str
    created_at_s: float
    updated_at_s: float
    run_count: int


def prefix_of(project: str) -> str:
    """The upstream's rule: a word's beginning, or the words' initials filled up from the last word; 3 or 4 letters."""
    words = [word for word in _SEPARATORS.split(project) if word]
    if not words:
        return "RUN"
    if len(words) == 1:
        return words[0][:_PREFIX_MIN].upper()
    initials = "".join(word[0] for word in words)
    if len(initials) < _PREFIX_MIN:
        initials = initials[:-1] + words[-1][: _PREFIX_MIN - len(initials) + 1]
    return initials[:_PREFIX_MAX].upper()


def parse_display_id(text: str) -> tuple[str, int] | None:
    """Prefix and number of a display id in any case; None for what isn't one."""
    if match := _DISPLAY_ID.fullmatch(text):
        return match[1].upper(), int(match[2])
    return None
