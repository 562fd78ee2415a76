"""What the answer of a route is about: how it is told whether a token that is limited to projects may have it."""

from enum import Enum


class Scope(Enum):
    """What an answer of a route is about."""

    NAMED = "named"
    """The project in `projectName`: the upstream filters by it. Without it an answer may be about any."""
    RUN = "run"
    """One run, of whatever project: the upstream looks at the organization alone."""
    PROJECTS = "projects"
    """All projects of the organization."""
