"""What tokens that are limited to projects may ask, and what they see of the answers.

A question that names its project is judged by that. A run that is asked for by its number alone may be of any project: which,
its `details` tell. What belongs to others and what doesn't exist must look the same, in the time that it takes as well: so only
a run of one's own is recognised by what is stored or remembered. For any other pluto-api is asked first, and it is asked in the
same way, fails in the same way and is remembered for as long, whether there is such a run or not.
"""

from dataclasses import replace
from typing import assert_never

from cachetools import LRUCache, TTLCache

from proxy.clock import Clock
from proxy.core.access.grants import Access, Grant, may_ask, run_details, tells_project
from proxy.core.access.projects import only_projects, project_of
from proxy.core.freshness.entry import Entry, digest_of
from proxy.core.freshness.purge import Purges
from proxy.core.question.query import Query
from proxy.core.question.scope import Scope
from proxy.errors import AnswerTooLarge, NotFound, ScopeRefused, UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Failure, Memo
from proxy.service.fetching.need import Need
from proxy.service.reader import Answer
from proxy.service.tenancy import Tenancy, Tenant
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream

# A run stays in its project as far as anybody knows; after an hour pluto-api is asked again.
_REMEMBERED_S = 3600.0
_MOST_RUNS = 10_000
_MOST_FILTERED = 64
_OK, _BAD_REQUEST, _NOT_FOUND = 200, 400, 404
_UNKNOWN = "no such project or run, or none that this token may see"
_REFUSED = (
    "this token sees some projects only: name one of them in projectName, and leave out what reaches beyond it "
    "(konduktorJobPrefix, parameters that only pluto-api understands)"
)


class Scopes:
    """Judges questions and answers for grants that are limited to projects; others pass untouched."""

    def __init__(
        self,
        *,
        store: TieredStore,
        tenancy: Tenancy,
        fetcher: Fetcher,
        memo: Memo,
        upstream: Upstream,
        clock: Clock,
        purges: Purges,
        negative_s: float,
    ) -> None:
        self._store = store
        self._tenancy = tenancy
        self._fetcher = fetcher
        self._memo = memo
        self._upstream = upstream
        self._clock = clock
        self._purges = purges
        self._negative_s = negative_s
        timer = clock.monotonic_s
        self._projects: TTLCache[CallKey, str] = TTLCache(_MOST_RUNS, _REMEMBERED_S, timer=timer)
        self._not_theirs: TTLCache[tuple[str, CallKey], None] = TTLCache(_MOST_RUNS, negative_s, timer=timer)
        self._filtered: LRUCache[tuple[str, str], Entry] = LRUCache(_MOST_FILTERED)

    async def admit(self, grant: Grant, query: Query, *, client: str) -> bool:
        """Let a question pass, before anything is looked up for it. Return whether that holds for every answer to it.

        Raises NotFound for what isn't theirs or isn't there, ScopeRefused for what doesn't keep to one project, and
        UpstreamError where only pluto-api could tell and can't be asked.
        """
        match may_ask(grant, query):
            case Access.GRANTED:
                return True
            case Access.FILTERED:
                return False
            case Access.BY_RUN:
                if not await self._owns(grant, run_details(query), client):
                    raise NotFound(_UNKNOWN)
                return False
            case Access.UNKNOWN:
                raise NotFound(_UNKNOWN)
            case Access.REFUSED:
                raise ScopeRefused(_REFUSED)
            case never:
                assert_never(never)

    def shown(self, grant: Grant, query: Query, answer: Answer) -> Answer:
        """Return what they see of an answer. Raises NotFound as `admit` does, where the answer says so."""
        if grant.projects is None:
            return answer
        entry = answer.entry
        if entry.status == _NOT_FOUND:
            raise NotFound(_UNKNOWN)
        if tells_project(query):
            self._check_told(grant.projects, query, answer)
        if query.route.scope is Scope.PROJECTS and entry.status == _OK:
            return replace(answer, entry=self._only(grant, grant.projects, entry))
        return answer

    def purge(self) -> None:
        """Forget which runs are whose, and what was made of answers: both are found out again."""
        self._projects.clear()
        self._filtered.clear()

    def _check_told(self, projects: frozenset[str], query: Query, answer: Answer) -> None:
        """Hold what an answer says itself against what was judged before; of refusals only a bad question's is passed on."""
        if query.route.scope is Scope.RUN:
            self._note(CallKey(answer.tenant.fingerprint, query.target), answer.entry)
        if answer.entry.status != _BAD_REQUEST and not _is_of(answer.entry, projects):
            raise NotFound(_UNKNOWN)

    def _only(self, grant: Grant, projects: frozenset[str], entry: Entry) -> Entry:
        place = (entry.digest, grant.visibility)
        if (held := self._filtered.get(place)) is None:
            body = only_projects(entry.body, projects)
            held = self._filtered[place] = Entry(body=body, sent_at_s=entry.sent_at_s, digest=digest_of(body))
        return replace(held, sent_at_s=entry.sent_at_s)

    async def _owns(self, grant: Grant, details: Query, client: str) -> bool:
        projects = grant.projects or frozenset()
        tenant = self._tenancy.current()
        asked = CallKey(tenant.fingerprint, details.target)
        if self._projects.get(asked) in projects:
            return True
        if (grant.visibility, asked) in self._not_theirs:
            return False
        stored = await self._stored(tenant, details, projects)
        theirs = stored is not None and _is_of(stored, projects)
        if stored is not None and theirs and not stored.purged and self._clock.now_s() - stored.sent_at_s <= _REMEMBERED_S:
            self._note(asked, stored)
            return True
        try:
            entry = await self._asked(tenant, asked, details, client)
        except UpstreamError as exc:
            if theirs:
                return True
            # Only of what is there can there be too much.
            if not isinstance(exc, AnswerTooLarge):
                raise
        else:
            self._note(asked, entry)
            if _is_of(entry, projects):
                return True
        self._not_theirs[grant.visibility, asked] = None
        return False

    async def _stored(self, tenant: Tenant, details: Query, projects: frozenset[str]) -> Entry | None:
        """Return a run's details as they are stored. Finding others' in memory takes as long as finding none there."""
        entry = self._store.peek(tenant.namespace, details.target)
        if entry is None:
            return await self._store.get(tenant.namespace, details.target)
        if not _is_of(entry, projects):
            await self._store.on_disk(tenant.namespace, details.target)
        return entry

    def _note(self, asked: CallKey, entry: Entry) -> None:
        if entry.status == _OK and not self._purges.was_purged(asked.target, entry.sent_at_s):
            self._projects[asked] = project_of(entry.body)

    async def _asked(self, tenant: Tenant, asked: CallKey, details: Query, client: str) -> Entry:
        """Ask, and once more where a purge took the answer meanwhile: what was said before may have been its very reason."""
        while True:
            seen = self._purges.count
            entry = await self._ask(tenant, asked, details, client)
            if self._purges.count == seen or not self._purges.was_purged(details.target, entry.sent_at_s):
                return entry

    async def _ask(self, tenant: Tenant, asked: CallKey, details: Query, client: str) -> Entry:
        said = self._memo.get(asked)
        if isinstance(said, Failure):
            raise said.again()
        need = Need(
            # Whoever asks for the same at the same time shares a call; what was stored before is no use here.
            not_before_s=self._clock.now_s() - self._negative_s,
            persist=True,
            landings=self._fetcher.landings,
            client=client,
            urgent=True,
            deadline_s=self._upstream.deadline_s(),
        )
        fetched, _ = await self._fetcher.fetch(tenant, details, need)
        return fetched.entry


def _is_of(entry: Entry, projects: frozenset[str]) -> bool:
    return entry.status == _OK and project_of(entry.body) in projects
