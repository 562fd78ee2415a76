"""Which projects an answer is about, read from its body."""

from collections.abc import Collection

import msgspec

from proxy.core.surrogates import read_json, without_surrogates


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
    """Return an answer of the route `projects` with only these projects: their bytes as they came, in their order.

    Nothing else of it is kept, since fields that the upstream may add could tell how many projects there are. The body has
    passed the route's check.
    """
    readable, kept, end = without_surrogates(body), [], 0
    for project in map(bytes, _projects.decode(readable).projects):
        # The readable text may differ from what came, but has the same length: a project is at the same place in both.
        begin = readable.index(project, end)
        end = begin + len(project)
        if _named.decode(project).name in names:
            kept.append(body[begin:end])
    return b'{"projects":[' + b",".join(kept) + b"]}"


def project_of(body: bytes) -> str:
    """Return the project of the run that an answer of `details` is about. The body has passed the route's check."""
    return read_json(_of_project, body).projectName
