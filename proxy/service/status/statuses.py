"""Which runs have ended: asked of the upstream, as seldom as will do.

One list of a project's running runs is asked for all of them, and then the details of each run that somebody looks at and
that isn't in it. `core.run_status` says what of that proves that a run has ended, `service.status.known_runs` what is
remembered of it and when it is time to ask again. Nothing is asked but by `learn`, so nothing for what nobody looks at; one
list of a project and one `details` of a run are under way at a time, for whoever wants to know.
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
from proxy.core.run_status import PAGE_ROWS, Listing, Ramp, read_ended, read_page
from proxy.errors import KeyRefused, QueryTooLong, UpstreamBusy, UpstreamError
from proxy.flight import Flights
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Need
from proxy.service.fetching.tenancy import Tenant
from proxy.service.status.known_runs import KnownRuns, Place

# No count of landed flights: each one looks into the store before it asks.
_LOOK_FIRST = -1
_log = structlog.get_logger()
Work = Callable[[], Awaitable[None]]


class Statuses:
    """Says which runs have ended, as far as it is known; whatever isn't known counts as running."""

    def __init__(self, fetcher: Fetcher, clock: Clock, *, status_s: float, ramp: Ramp) -> None:
        self._fetcher = fetcher
        self._clock = clock
        self._status_s = status_s
        self._known = KnownRuns(clock, status_s=status_s, ramp=ramp, changed=self._tell)
        self._learning: Flights[Place, Work, None] = Flights()
        self.calls: Counter[str] = Counter()
        """How often the upstream was asked, by the name of the route."""
        self.changed: Callable[[str, str, str], None] = lambda _namespace, _run, _project: None
        """Called with namespace, run and project when what is known of a run's status changes, not when it is learned first."""

    def fresh_s(self, namespace: str, run: str, project: str, *, stood_s: float) -> float | None:
        """Return how long the answers of a run that has ended live, in seconds; None for as long as a running one's.

        `stood_s`: how long ago the series in question were first looked at.
        """
        return self._known.fresh_s(Place(namespace, project, run), stood_s=stood_s)

    def note_change(self, namespace: str, run: str, project: str, at_s: float) -> None:
        """Note that rows of a run were seen to change (wall time): its answers' lifetime grows from the beginning again."""
        self._known.note_change(Place(namespace, project, run), at_s)

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
        """See to it that what is known of a run is at most `status_s` old, as far as the upstream tells.

        That may take long, in a cool-down as long as that: whoever hasn't got the time goes away, and it is learned all the
        same.
        `urgent`, `client`, `deadline_s` are as in Need, for calls that are begun here, not for those that others have begun.
        Never raises for what the upstream does.
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
        self._known.run(Place(tenant.namespace, project, run))
        if self._known.list_due(Place(tenant.namespace, project)):
            await self._once(Place(tenant.fingerprint, project), partial(self._list, tenant, project, need))
        if self._known.details_due(Place(tenant.namespace, project, run)):
            await self._once(Place(tenant.fingerprint, project, run), partial(self._details, tenant, project, run, need))

    def heard(self, tenant: Tenant, run: str, project: str, details: Entry) -> None:
        """Take notice of details that were asked for to another end."""
        place = Place(tenant.namespace, project, run)
        ended = None if details.status != 200 else read_ended(details.body, run=run, project=project)
        if ended is not None:
            self._known.note_details(place, ended, details.sent_at_s)
        elif details.status == 200:
            self._known.note_change(place, details.sent_at_s)

    def _tell(self, place: Place) -> None:
        self.changed(place.owner, place.run or "", place.project)

    async def aclose(self) -> None:
        """End what is under way."""
        await self._learning.aclose()

    async def _once(self, place: Place, work: Work) -> None:
        """Wait for what is under way to learn of a place, or begin it."""
        flight = self._learning.get(place) or self._learning.start(place, work, now_s=self._clock.now_s())
        await flight.result()

    async def _list(self, tenant: Tenant, project: str, need: Need) -> None:
        """Ask for a project's running runs, page by page, and note what the list says."""
        listing, asked_s = Listing(), math.inf
        refreshed_s = max(0.0, self._known.listed_s(Place(tenant.namespace, project)))
        # What is stored is taken where it will be good for a while.
        need = replace(need, not_before_s=self._clock.now_s() - self._status_s / 2, refreshed_s=refreshed_s)
        while (offset := listing.offset) is not None:
            entry = await self._ask(tenant, partial(_page, project, offset), need)
            page = None if entry is None or entry.status != 200 else read_page(entry.body)
            if entry is None or page is None:
                break
            listing.add(page)
            asked_s = min(asked_s, entry.sent_at_s)
        if listing.running and not listing.is_complete:
            _log.info("runs.not_listed", project=project)
        self._known.note_list(Place(tenant.namespace, project), listing, asked_s)

    async def _details(self, tenant: Tenant, project: str, run: str, need: Need) -> None:
        """Ask for a run's details, as they are since the list that it wasn't in, and note what they say."""
        place = Place(tenant.namespace, project, run)
        need = replace(
            need,
            not_before_s=self._known.listed_s(place),
            refreshed_s=max(0.0, self._known.told_s(place)),
            # What is stored of another project's run is no use: asked for as one that doesn't exist would be, it tells
            # nothing by its speed.
            serves=lambda entry: project_of(entry.body) == project,
        )
        entry = await self._ask(tenant, partial(question, DETAILS, {}, segment=run), need)
        place = Place(tenant.namespace, project, run)
        if entry is None:
            self._known.note_no_details(place)
            return
        ended = None if entry.status != 200 else read_ended(entry.body, run=run, project=project)
        self._known.note_details(place, ended, entry.sent_at_s)
        if ended is None and entry.status == 200:
            # It may be running: should it say a moment later that it ended long ago, that isn't so.
            self._known.note_change(place, entry.sent_at_s)

    async def _ask(self, tenant: Tenant, query: Callable[[], Query], need: Need) -> Entry | None:
        """Return what the upstream says, its 4xx included; None where it fails, or says it to a key that isn't the tenant's."""
        try:
            asked = query()
            fetched, joined = await self._fetcher.fetch(tenant, asked, need)
        except QueryTooLong:
            return None
        except UpstreamError as exc:
            # Those two may have been raised without a call.
            self.calls[asked.route.name] += not isinstance(exc, UpstreamBusy | KeyRefused) or exc.upstream_status is not None
            return None
        self.calls[asked.route.name] += fetched.asked and not joined
        return fetched.entry if fetched.tenant.fingerprint == tenant.fingerprint else None


def _page(project: str, offset: int) -> Query:
    """Return the question for a page of a project's running runs, as a client would ask it."""
    values = {"projectName": project, "limit": str(PAGE_ROWS), "status": "RUNNING"}
    return question(LIST, values | ({"offset": str(offset)} if offset else {}))
