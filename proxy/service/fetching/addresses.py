"""What the upstream is asked for a question: its target, and the organization where the upstream wants to be told that.

An organization goes with the key that is sent, which may be another one by then than when the question came: the upstream
refuses a key that is sent with another organization than its own.
"""

from functools import partial

from proxy.core.question.batch import BatchInput
from proxy.core.question.query import Query
from proxy.errors import UpstreamBusy
from proxy.service.tenancy import RETRY_S, Tenancy
from proxy.upstream.client import Target
from proxy.upstream.credential import Key


class Addresses:
    """Makes the targets of calls."""

    def __init__(self, tenancy: Tenancy) -> None:
        self._tenancy = tenancy

    def target(self, query: Query) -> Target:
        """Return the target of a question's call."""
        batch = query.route.batch
        return query.target if batch is None else partial(self._addressed, batch, query.target)

    def _addressed(self, batch: BatchInput, target: str, key: Key) -> str:
        """Return a target with the organization of a key. Raises UpstreamBusy where that isn't known."""
        tenant = self._tenancy.by_fingerprint(key.fingerprint)
        if tenant.fingerprint != key.fingerprint or tenant.organization is None:
            raise organization_unknown()
        return batch.addressed(target, tenant.organization.id)


def organization_unknown() -> UpstreamBusy:
    """Return the error for a question that takes the organization as long as it isn't known."""
    return UpstreamBusy(
        "pluto-api wants to be told the organization here, and has not said yet which one the shared key belongs to",
        retry_after_s=RETRY_S,
    )
