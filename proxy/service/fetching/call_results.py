"""What becomes of a call's result.

An answer that wasn't purged meanwhile is stored, and noted for the lifetimes. A failure, or the upstream's 4xx, is remembered.
"""

import structlog

from proxy.core.freshness.entry import Entry, digest_of, is_scant, tombstone
from proxy.core.freshness.purge import Purges
from proxy.core.freshness.verdict import Verdict
from proxy.core.question.keeping import Keeping
from proxy.core.question.query import Query
from proxy.core.question.route import Route
from proxy.core.series.extents import Extents
from proxy.errors import AnswerTooLarge, KeyRefused, UpstreamBusy, UpstreamError
from proxy.service.fetching.call_key import CallKey
from proxy.service.fetching.encoder import Encoder
from proxy.service.fetching.memo import Memo
from proxy.service.fetching.need import Fetched, Need
from proxy.service.lifetimes.run_lifetimes import RunLifetimes
from proxy.service.tenancy import Tenancy, Tenant
from proxy.settings import Settings
from proxy.store.tiers import TieredStore
from proxy.upstream.reply import Reply

# Counting the elements of what was read from disk takes up to 0.7 ms.
_COUNTED_BYTES = 2**19
_log = structlog.get_logger()


class CallResults:
    """Keeps what calls bring, and finds what other calls have just brought."""

    def __init__(
        self,
        *,
        store: TieredStore,
        encoder: Encoder,
        memo: Memo,
        tenancy: Tenancy,
        lifetimes: RunLifetimes,
        purges: Purges,
        settings: Settings,
    ) -> None:
        self._store = store
        self._encoder = encoder
        self._memo = memo
        self._tenancy = tenancy
        self._lifetimes = lifetimes
        self._purges = purges
        self._settings = settings

    async def stored_meanwhile(self, tenant: Tenant, query: Query, need: Need) -> Entry | None:
        """Return what a flight that has ended since the caller looked has stored, if it serves the caller's need; else None."""
        entry = await self._store.get(tenant.namespace, query.target, query.keeping)
        # What a delta was added to is not what the upstream said to this question.
        if entry is None or entry.sent_at_s < need.not_before_s or entry.full_asked_s is not None:
            return None
        if need.accepts is not None and not need.accepts(entry):
            return None
        return entry if self._lifetimes.judge(entry, query, tenant) is Verdict.FRESH else None

    def keep(self, query: Query, need: Need, reply: Reply[Extents], keeping: Keeping | None) -> Fetched:
        """Keep an answer where `keeping` says, or nowhere (None). An answer that isn't a 200 is remembered for a short while.

        It belongs to the key that it was fetched with, which may be another one than when the call began.
        """
        tenant = self._tenancy.by_fingerprint(reply.fingerprint)
        key = CallKey(reply.fingerprint, query.target)
        before = self._store.peek(tenant.namespace, query.target)
        entry = Entry(
            body=reply.body,
            sent_at_s=reply.sent_at_s,
            digest=digest_of(reply.body),
            status=reply.status,
            elements=reply.elements,
            scant=is_scant(reply.elements, _elements(query.route, before)),
        )
        if self._purges.was_purged(query.target, reply.sent_at_s):
            stored = False
        elif reply.status != 200 or len(entry.body) > self._settings.now.cache.max_object_bytes:
            self._note_unstored(tenant, query, key, entry, need)
            stored = False
        else:
            self._memo.forget(key)
            # What was taken apart is compared row by row elsewhere (`service.knowledge.learner`).
            if keeping is not None and reply.parsed is None:
                self._lifetimes.note_answer(query, tenant, before, entry)
            stored = keeping is not None and self._encoder.keep(tenant, query.target, entry, keeping)
        return Fetched(tenant=tenant, entry=entry, stored=stored, elapsed_s=reply.elapsed_s, extents=reply.parsed)

    def _note_unstored(self, tenant: Tenant, query: Query, key: CallKey, entry: Entry, need: Need) -> None:
        """Take away what was stored, since the upstream answers otherwise now: with no 200, or with more than may be stored.

        What is no 200 is remembered.
        """
        if entry.status == 200:
            self._memo.forget(key)
        else:
            self._memo.remember(key, entry)
            _note_failure(need, None)
        self._store.put(tenant.namespace, query.target, tombstone(entry.sent_at_s), query.keeping)

    def remember(self, tenant: Tenant, query: Query, need: Need, error: UpstreamError) -> None:
        """Log a failure, and remember it for a short while."""
        _log.warning(
            "fetch.failed", key=query.target, code=error.code, reason=error.detail, upstream_status=error.upstream_status
        )
        # These two are about the upstream as a whole, which remembers them itself, for times of their own.
        if isinstance(error, UpstreamBusy | KeyRefused):
            return
        _note_failure(need, error)
        # An answer that was too large for this caller may not be for one who accepts more.
        if not (isinstance(error, AnswerTooLarge) and need.bounds is not None):
            self._memo.remember(CallKey(tenant.fingerprint, query.target), error)


def _note_failure(need: Need, error: UpstreamError | None) -> None:
    if need.on_failure is not None:
        need.on_failure(error)


def _elements(route: Route, entry: Entry | None) -> int | None:
    """Return how many elements the list of a stored answer has; None where it has no list, or is too large to count."""
    if entry is None or entry.elements is not None or len(entry.body) > _COUNTED_BYTES:
        return None if entry is None else entry.elements
    try:
        return route.check(entry.body)
    except ValueError:
        return None
