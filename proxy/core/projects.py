"""Which projects an answer is about, read from its body."""

from collections.abc import Collection

import msgspec


class _Projects(msgspec.Struct):
    projects: list[msgspec.Raw]


class _Named(msgspec.Struct):
    name: str


class _OfProject(msgspec.Struct):
    projectName: str  # noqa: N815 -- the upstream's own field name


_projects = msgspec.json.Decoder(_Projects)
_named = msgspec.json.Decoder(_Named)
_of_project = msgspec.json.Decoder(_OfProject)


def only_projects(body: bytes, names: Collection[str]) -> bytes:
    """Return an answer of `projects` with these projects alone: their very bytes, in their order.

    Nothing else of it is kept: fields that the upstream may add could tell how many projects there are. The body has passed the
    route's check.
    """
    kept = [bytes(project) for project in _projects.decode(body).projects if _named.decode(project).name in names]
    return b'{"projects":[' + b",".join(kept) + b"]}"


def project_of(body: bytes) -> str:
    """Return the project of the run that an answer of `details` is about. The body has passed the route's check."""
    return _of_project.decode(body).projectName
