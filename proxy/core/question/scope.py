"""What the answers of a route are about: by that a token that is limited to projects is judged."""

from enum import Enum


class Scope(Enum):
    """What the answers of a route are about."""

    NAMED = "named"
    """The project in `projectName`, by which the upstream filters. Without it an answer may be about any project."""
    RUN = "run"
    """One run, of any project: the upstream checks only that it is the organization's."""
    PROJECTS = "projects"
    """All projects of the organization."""
