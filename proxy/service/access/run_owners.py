"""Whose a run is: which project the run belongs to, as its `details` tell.

A run of another project must look like a run that doesn't exist, also in the time that finding out takes. So only a run of the
asker's own projects is recognised by what is stored or remembered. For any other run pluto-api is asked first. That request is
made in the same way, fails in the same way, and its outcome is remembered for as long, whether there is such a run or not.
"""

from cachetools import TTLCache

from proxy.clock import Clock
from proxy.core.access.grants import Grant
from proxy.core.access.projects import project_of
from proxy.core.freshness.entry import Entry
from proxy.core.freshness.purge import Purges
from proxy.core.question.query import Query
from proxy.errors import AnswerTooLarge, UpstreamError
from proxy.service.fetching.brief import Brief
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.memo import Failure, Memo
from proxy.service.fetching.need import Need
from proxy.service.tenancy import Tenant
from proxy.settings import Settings
from proxy.store.tiers import TieredStore
from proxy.upstream.client import Upstream

# A run stays in its project as far as anybody knows; after an hour pluto-api is asked again.
_REMEMBERED_S = 3600.0
_MOST_RUNS = 10_000
_OK = 200


class RunOwners:
    """Tells whether a run belongs to one of a grant's projects."""

    def __init__(
        self,
        *,
        store: TieredStore,
        fetcher: Fetcher,
        memo: Memo,
        upstream: Upstream,
        clock: Clock,
        purges: Purges,
        settings: Settings,
    ) -> None:
        self._store = store
        self._fetcher = fetcher
        self._memo = memo
        self._upstream = upstream
        self._clock = clock
        self._purges = purges
        self._projects: TTLCache[CallKey, str] = TTLCache(_MOST_RUNS, _REMEMBERED_S, timer=clock.monotonic_s)
        # That a run belongs to none of a grant's projects: by what the grant may see, and the run.
        self._not_theirs = Brief[tuple[str, CallKey], None](settings, clock, most=_MOST_RUNS)

    async def owns(self, grant: Grant, tenant: Tenant, details: Query, *, client: str) -> bool:
        """Tell whether the run that a `details` query is about belongs to one of the grant's projects.

        `client`: in whose turn pluto-api is asked. Raises UpstreamError where only pluto-api could tell and can't be asked.
        """
        projects = grant.projects or frozenset()
        key = CallKey(tenant.fingerprint, details.target)
        if self._projects.get(key) in projects:
            return True
        if (grant.visibility, key) in self._not_theirs.held:
            return False
        stored = await self._stored(tenant, details, projects)
        theirs = stored is not None and belongs(stored, projects)
        if stored is not None and theirs and not stored.purged and self._clock.now_s() - stored.sent_at_s <= _REMEMBERED_S:
            self.note(key, stored)
            return True
        try:
            entry = await self._ask_after_purges(tenant, key, details, client)
        except UpstreamError as exc:
            if theirs:
                return True
            # Only an answer about a run that exists can be too large.
            if not isinstance(exc, AnswerTooLarge):
                raise
        else:
            self.note(key, entry)
            if belongs(entry, projects):
                return True
        self._not_theirs.held[grant.visibility, key] = None
        return False

    def note(self, key: CallKey, details: Entry) -> None:
        """Note which project a run belongs to, by an answer to the `details` query of this key."""
        if details.status == _OK and not self._purges.was_purged(key.target, details.sent_at_s):
            self._projects[key] = project_of(details.body)

    def forget(self) -> None:
        """Forget which project each run belongs to: it is found out again."""
        self._projects.clear()

    async def _stored(self, tenant: Tenant, details: Query, projects: frozenset[str]) -> Entry | None:
        """Return a run's details as they are stored.

        Memory having the details of another project's run takes as long as memory having none: the disk is read either way.
        """
        entry = self._store.peek(tenant.namespace, details.target)
        if entry is None:
            return await self._store.get(tenant.namespace, details.target)
        if not belongs(entry, projects):
            await self._store.on_disk(tenant.namespace, details.target)
        return entry

    async def _ask_after_purges(self, tenant: Tenant, key: CallKey, details: Query, client: str) -> Entry:
        """Return the upstream's answer, asked for anew where a purge took it meanwhile: it may be why somebody purged."""
        while True:
            purges_before = self._purges.count
            entry = await self._ask(tenant, key, details, client)
            if self._purges.count == purges_before or not self._purges.was_purged(details.target, entry.sent_at_s):
                return entry

    async def _ask(self, tenant: Tenant, key: CallKey, details: Query, client: str) -> Entry:
        remembered = self._memo.get(key)
        if isinstance(remembered, Failure):
            raise remembered.to_raise()
        need = Need(
            # Whoever asks for the same at the same time shares a call. What was stored before doesn't serve.
            not_before_s=self._clock.now_s() - self._not_theirs.seconds,
            persist=True,
            landings=self._fetcher.landings,
            client=client,
            urgent=True,
            deadline_s=self._upstream.deadline_s(),
        )
        fetched, _ = await self._fetcher.fetch(tenant, details, need)
        return fetched.entry


def belongs(details: Entry, projects: frozenset[str]) -> bool:
    """Tell whether an answer names one of these projects as its own."""
    return details.status == _OK and project_of(details.body) in projects
