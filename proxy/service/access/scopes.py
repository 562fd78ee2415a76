"""What tokens that are limited to projects may ask, and what they see of the answers.

A query that names its project is judged by that name. A query that names a run by its number alone may be about any project:
`service.access.run_owners` finds out which. What belongs to others and what doesn't exist get the same response.
"""

from dataclasses import replace
from typing import assert_never

from cachetools import LRUCache

from proxy.core.access.grants import Access, Grant, may_ask, run_details, tells_project
from proxy.core.access.projects import only_projects
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.question.query import Query
from proxy.core.question.scope import Scope
from proxy.errors import NotFound, ScopeRefused
from proxy.service.access.run_owners import RunOwners, belongs
from proxy.service.answer import Answer
from proxy.service.fetching.call_key import CallKey
from proxy.service.tenancy import Tenancy

_MOST_FILTERED = 64
_OK, _BAD_REQUEST, _NOT_FOUND = 200, 400, 404
_UNKNOWN = "no such project or run, or none that this token may see"
_REFUSED = (
    "this token sees some projects only: name one of them in projectName, and leave out what reaches beyond it "
    "(konduktorJobPrefix, parameters that only pluto-api understands)"
)


class Scopes:
    """Judges queries and answers for grants that are limited to projects. Other grants see everything as it is."""

    def __init__(self, tenancy: Tenancy, owners: RunOwners) -> None:
        self._tenancy = tenancy
        self._owners = owners
        # By the digest of a whole list, and what a grant may see: the part of the list that shows only that.
        self._filtered: LRUCache[tuple[str, str], Entry] = LRUCache(_MOST_FILTERED)

    async def admit(self, grant: Grant, query: Query, *, client: str) -> bool:
        """Let a query pass, before anything is looked up for it. Return whether every answer to it may be seen.

        `client`: in whose turn pluto-api is asked. Raises NotFound where what is asked for belongs to others or doesn't exist,
        ScopeRefused where the query doesn't keep to one project, and UpstreamError where only pluto-api could tell and can't be
        asked.
        """
        match may_ask(grant, query):
            case Access.GRANTED:
                return True
            case Access.FILTERED:
                return False
            case Access.BY_RUN:
                if not await self._owners.owns(grant, self._tenancy.current(), run_details(query), client=client):
                    raise NotFound(_UNKNOWN)
                return False
            case Access.UNKNOWN:
                raise NotFound(_UNKNOWN)
            case Access.REFUSED:
                raise ScopeRefused(_REFUSED)
            case never:
                assert_never(never)

    def restrict(self, grant: Grant, query: Query, answer: Answer) -> Answer:
        """Return the part of an answer that a grant may see.

        Raises NotFound where the answer says that it belongs to others or doesn't exist.
        """
        if grant.projects is None:
            return answer
        entry = answer.entry
        if entry.status == _NOT_FOUND:
            raise NotFound(_UNKNOWN)
        if tells_project(query):
            self._check_project(grant.projects, query, answer)
        if query.route.scope is Scope.PROJECTS and entry.status == _OK:
            return replace(answer, entry=self._only(grant, grant.projects, entry))
        return answer

    def purge(self) -> None:
        """Forget which runs are whose, and the parts of answers that were made: both are found out again."""
        self._owners.forget()
        self._filtered.clear()

    def _check_project(self, projects: frozenset[str], query: Query, answer: Answer) -> None:
        """Compare the project that an answer names with what was judged before the answer was there.

        Of the upstream's 4xx only a 400, which is about the query itself, may be seen. Raises NotFound.
        """
        if query.route.scope is Scope.RUN:
            self._owners.note(CallKey(answer.tenant.fingerprint, query.target), answer.entry)
        if answer.entry.status != _BAD_REQUEST and not belongs(answer.entry, projects):
            raise NotFound(_UNKNOWN)

    def _only(self, grant: Grant, projects: frozenset[str], entry: Entry) -> Entry:
        """Return a list of projects without those that a grant may not see."""
        place = (entry.digest, grant.visibility)
        if (held := self._filtered.get(place)) is None:
            body = only_projects(entry.body, projects)
            held = self._filtered[place] = Entry(body=body, sent_at_s=entry.sent_at_s, digest=digest_of(body))
        return replace(held, sent_at_s=entry.sent_at_s)
