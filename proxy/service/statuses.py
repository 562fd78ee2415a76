"""Which runs have ended. The upstream is asked for that as seldom as will do.

First the list of a project's running runs is asked for, which serves all its runs. Then the details are asked for of each run
that somebody looks at and that isn't in the list. `core.run_status` says what of that proves that a run has ended,
`service.lifetimes.known_runs` what is remembered, and when it is time to ask again. Only `learn` asks, so nothing is asked
about runs that nobody looks at. One list of a project and one `details` of a run are under way at a time, for all who want to
know.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import structlog

from proxy.clock import Clock
from proxy.core.access.projects import project_of
from proxy.core.freshness.entry import Entry
from proxy.core.question.query import Query, question
from proxy.core.question.routes import DETAILS, LIST
from proxy.core.run_status import PAGE_ROWS, Listing, read_ended, read_page
from proxy.errors import KeyRefused, QueryTooLong, UpstreamBusy, UpstreamError
from proxy.flight import Flights
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Need
from proxy.service.lifetimes.known_runs import KnownRuns, RunKey
from proxy.service.tenancy import Tenant

# No count of flights: each call looks into the store before the upstream is asked.
_LOOK_FIRST = -1
_log = structlog.get_logger()
_Step = Callable[[], Awaitable[None]]


class Statuses:
    """Learns which runs have ended. A run counts as running until that is known."""

    def __init__(self, fetcher: Fetcher, known: KnownRuns, clock: Clock) -> None:
        self._fetcher = fetcher
        self._known = known
        self._clock = clock
        self._learning: Flights[RunKey, _Step, None] = Flights(_carry_out)
        self.calls: Counter[str] = Counter()
        """How often the upstream was asked, by the name of the route."""

    async def learn(
        self,
        tenant: Tenant,
        run: str,
        project: str,
        *,
        urgent: bool = False,
        client: str = "",
        deadline_s: float = math.inf,
    ) -> None:
        """See to it that what is known of a run is at most `KnownRuns.status_s` old, as far as the upstream tells.

        It may take as long as a cool-down lasts. A caller may be cancelled meanwhile: what is under way is learned all the
        same. `urgent`, `client`, `deadline_s` are as in Need, for calls that are begun here, not for those that others have
        begun. Never raises UpstreamError.
        """
        if not project:
            # The upstream refuses to list it.
            return
        need = Need(
            not_before_s=-math.inf,
            persist=False,
            landings=_LOOK_FIRST,
            urgent=urgent,
            client=client,
            deadline_s=deadline_s,
        )
        # The namespace may change while the upstream is waited for: it is looked at anew each time.
        if self._known.list_due(RunKey(tenant.namespace, project, run)):
            await self._shared(RunKey(tenant.fingerprint, project), partial(self._list, tenant, project, need))
        if self._known.details_due(RunKey(tenant.namespace, project, run)):
            await self._shared(RunKey(tenant.fingerprint, project, run), partial(self._details, tenant, project, run, need))

    def note_details(self, tenant: Tenant, run: str, project: str, details: Entry) -> None:
        """Note a run's details that were asked for to another end."""
        key = RunKey(tenant.namespace, project, run)
        ended = None if details.status != 200 else read_ended(details.body, run=run, project=project)
        if ended is not None:
            self._known.note_details(key, ended, details.sent_at_s)
        elif details.status == 200:
            self._known.note_change(key, details.sent_at_s)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._learning.aclose()

    async def _shared(self, key: RunKey, work: _Step) -> None:
        """Wait until a run's details or a project's list were learned; begin that, unless it is under way."""
        flight = self._learning.get(key) or self._learning.start(key, work, now_s=self._clock.now_s())
        await flight.result()

    async def _list(self, tenant: Tenant, project: str, need: Need) -> None:
        """Ask for a project's list of running runs, page by page, and note it."""
        listing, asked_s = Listing(), math.inf
        refreshed_s = max(0.0, self._known.listed_s(RunKey(tenant.namespace, project)))
        # A stored page serves if it is at most half as old as a list may become.
        need = replace(need, not_before_s=self._clock.now_s() - self._known.status_s / 2, refreshed_s=refreshed_s)
        while (offset := listing.offset) is not None:
            entry = await self._ask(tenant, partial(_page, project, offset), need)
            page = None if entry is None or entry.status != 200 else read_page(entry.body)
            if entry is None or page is None:
                break
            listing.add(page)
            asked_s = min(asked_s, entry.sent_at_s)
        if listing.running and not listing.is_complete:
            _log.info("runs.not_listed", project=project)
        self._known.note_list(RunKey(tenant.namespace, project), listing, asked_s)

    async def _details(self, tenant: Tenant, project: str, run: str, need: Need) -> None:
        """Ask for a run's details, no older than the list that it wasn't in, and note them."""
        key = RunKey(tenant.namespace, project, run)
        need = replace(
            need,
            not_before_s=self._known.listed_s(key),
            refreshed_s=max(0.0, self._known.details_asked_s(key)),
            # Stored details of another project's run don't serve: asking for them takes as long as for a run that doesn't
            # exist, so that the time tells nothing.
            accepts=lambda entry: project_of(entry.body) == project,
        )
        entry = await self._ask(tenant, partial(question, DETAILS, {}, segment=run), need)
        key = RunKey(tenant.namespace, project, run)
        if entry is None:
            self._known.note_no_details(key)
            return
        ended = None if entry.status != 200 else read_ended(entry.body, run=run, project=project)
        self._known.note_details(key, ended, entry.sent_at_s)
        if ended is None and entry.status == 200:
            # It may be running. Should its details say a moment later that it ended long ago, that isn't so.
            self._known.note_change(key, entry.sent_at_s)

    async def _ask(self, tenant: Tenant, make_query: Callable[[], Query], need: Need) -> Entry | None:
        """Return the upstream's answer, its 4xx included; None where it fails, or another key than the tenant's was used."""
        try:
            query = make_query()
            fetched, joined = await self._fetcher.fetch(tenant, query, need)
        except QueryTooLong:
            return None
        except UpstreamError as exc:
            # These two may have been raised without a call.
            self.calls[query.route.name] += not isinstance(exc, UpstreamBusy | KeyRefused) or exc.upstream_status is not None
            return None
        self.calls[query.route.name] += fetched.called and not joined
        return fetched.entry if fetched.tenant.fingerprint == tenant.fingerprint else None


async def _carry_out(work: _Step) -> None:
    await work()


def _page(project: str, offset: int) -> Query:
    """Return the query for a page of a project's running runs, as a client would make it."""
    values = {"projectName": project, "limit": str(PAGE_ROWS), "status": "RUNNING"}
    return question(LIST, values | ({"offset": str(offset)} if offset else {}))
