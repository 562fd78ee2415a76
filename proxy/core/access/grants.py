"""Who may ask for what. Tokens are kept and looked up elsewhere (`service.access.tokens`).

Entries and flights know nothing of tokens: a question has one answer, whoever asks. Whether somebody may have it is decided
before anything is looked up, so that nothing about the answer (whether it exists, is stored, has changed) shows through.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import assert_never

from proxy.core.question.query import Query, question
from proxy.core.question.routes import DETAILS, DETAILS_BY_DISPLAY_ID
from proxy.core.question.scope import Scope

# This proxy's tokens begin with it, by which people and scanners for secrets tell them from the upstream's keys.
BEARER_PREFIX = "ppt_"
# The upstream's keys begin with one of these; it refuses everything else as no key at all.
UPSTREAM_KEY_PREFIXES = ("mlpi_", "mlps_")
# RFC 6750 section 2.1; the scheme is spelled in any case (RFC 9110 section 11.1).
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*)[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What somebody may do: read the named projects (None: all), manage the proxy (`admin`), until `expires_at_s`.

    `name` is the token's, `""` where none is needed. `expires_at_s` is wall time. `visibility` stands for the projects: grants
    with the same projects have the same text, `""` for all projects.
    """

    name: str
    projects: frozenset[str] | None = None
    admin: bool = False
    expires_at_s: float = math.inf
    visibility: str = field(init=False, default="")

    def __post_init__(self) -> None:
        if self.projects is not None:
            object.__setattr__(self, "visibility", sha256(json.dumps(sorted(self.projects)).encode()).hexdigest())


# The grant of whoever asks a proxy that has no tokens: all projects, but not what takes an admin token.
ANYBODY = Grant(name="")


class Access(Enum):
    """What is to be done about somebody's question."""

    GRANTED = "granted"
    """Answer it, whatever the answer is."""
    FILTERED = "filtered"
    """Answer it with the part of the answer that is about their projects."""
    BY_RUN = "by-run"
    """Find out first which project the run is of: see `run_details`."""
    UNKNOWN = "unknown"
    """Say that there is no such thing, whether there is or not."""
    REFUSED = "refused"
    """Say that a limited token cannot ask this: the question does not keep to one project."""


def may_ask(grant: Grant, query: Query) -> Access:
    """Return what is to be done about a question, by what it names."""
    if grant.projects is None:
        return Access.GRANTED
    # A parameter that only the upstream understands might reach beyond the project.
    if query.forwarded:
        return Access.REFUSED
    match query.route.scope:
        case Scope.RUN:
            return Access.BY_RUN
        case Scope.PROJECTS:
            return Access.FILTERED
        case Scope.NAMED:
            project = query.values.get("projectName")
            spans = any(parameter.spans and parameter.name in query.values for parameter in query.route.parameters)
            if project is None or spans:
                return Access.REFUSED
            return Access.GRANTED if project in grant.projects else Access.UNKNOWN
        case _:
            assert_never(query.route.scope)


def run_details(query: Query) -> Query:
    """Return the question whose answer tells the project of the run that `query` is about."""
    return query if query.route is DETAILS else question(DETAILS, {}, segment=query.values["runId"])


def tells_project(query: Query) -> bool:
    """Tell whether the answer itself names the project that it is about."""
    return query.route is DETAILS or query.route is DETAILS_BY_DISPLAY_ID


def digest_of_token(token: str) -> str:
    """Return a token's SHA-256 in hex, which is kept in its place.

    A slow hash would protect what can be guessed. A token is 256 random bits, too many to search however fast the hash is.
    """
    return sha256(token.encode()).hexdigest()


def read_bearer(lines: Sequence[str]) -> str | None:
    """Return the token in the `Authorization` fields of a request, None where there are none.

    Raises ValueError with a sentence for the client that holds nothing of what the client sent.
    """
    if not lines:
        return None
    found = _BEARER.fullmatch(lines[0])
    if len(lines) > 1 or found is None:
        raise ValueError("the Authorization header must be one `Bearer` and a token of this proxy")
    if found[1].startswith(UPSTREAM_KEY_PREFIXES):
        raise ValueError(
            "the Authorization header holds a key of pluto-api; this proxy has tokens of its own, which its operator gives out "
            "(a script that trains needs pluto-api itself: unset PLUTO_URL_API there)"
        )
    return found[1]
