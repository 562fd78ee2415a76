"""Whose data the shared key reads, and so which namespace entries live in.

Only the upstream can tell which organization a key belongs to. Until it has (or where it can't be asked), entries live in a
namespace of the key's fingerprint. The organization is remembered on disk, so that a restart without the upstream finds its
entries. A rotated key of the same organization keeps the cache; another organization's key never sees it.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
import structlog

from proxy.core.budget.line import Priority
from proxy.core.freshness.namespace import fingerprint_namespace, organization_namespace
from proxy.core.lone_surrogates import STAND_IN, read_json
from proxy.errors import UpstreamError
from proxy.store.tiers import TieredStore
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream
from proxy.upstream.reply import Reply

VALIDATE_TARGET = "/api/runs/auth/validate"
RETRY_S = 30.0
_log = structlog.get_logger()


class _Organization(msgspec.Struct):
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Validated(msgspec.Struct):
    valid: bool
    organization: _Organization


_validated = msgspec.json.Decoder(_Validated)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _organization_of(body: bytes) -> str:
    """Return the organization's id. Raises ValueError unless the body says that the key is valid and whose it is."""
    try:
        said = read_json(_validated, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"the answer to {VALIDATE_TARGET} does not have the documented shape: {exc}") from None
    if said.valid is not True:
        raise ValueError(f"the answer to {VALIDATE_TARGET} does not say that the key is valid")
    if STAND_IN in said.organization.id:
        raise ValueError(f"the answer to {VALIDATE_TARGET} names an organization that others could not be told from")
    return said.organization.id


def _check(body: bytes) -> None:
    """Raise ValueError where this isn't the API at all.

    Other answers than expected pass: taken for a fault of the upstream, one every half a minute would keep everybody's queries
    waiting.
    """
    try:
        read_json(_object, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"not a JSON object: {exc}") from None


class Tenant:
    """A key, and the namespace of what is stored for it.

    The namespace changes once, when the organization becomes known: read it when it is needed, and again after an await.
    """

    def __init__(self, fingerprint: str, namespace: str) -> None:
        self.fingerprint = fingerprint
        self.namespace = namespace
        self.known = False
        """Whether its organization is known."""

    def move(self, namespace: str) -> None:
        """Use the namespace of its organization from now on."""
        self.namespace = namespace
        self.known = True


class Sleep(Protocol):
    """Waits for some seconds; tests bring one of their own."""

    async def __call__(self, seconds: float, /) -> None:
        """Wait."""


class Tenancy:
    """Knows the tenant of the key in use, and finds out its organization in the background."""

    def __init__(
        self,
        upstream: Upstream,
        store: TieredStore,
        *,
        label: str,
        sleep: Sleep = asyncio.sleep,
        renamed: Callable[[str, str], None] = lambda _old, _new: None,
    ) -> None:
        """`renamed` is called with the old namespace and the new one when what is stored moves from one to the other."""
        self._upstream = upstream
        self._store = store
        self._label = label
        self._sleep = sleep
        self._renamed = renamed
        self._tenants: dict[str, Tenant] = {}
        # By fingerprint: the task that reads a key's organization from the disk, also once it is done.
        self._recalling: dict[str, asyncio.Task[None]] = {}
        self._tenant: Tenant | None = None
        self._finding: asyncio.Task[None] | None = None

    def current(self) -> Tenant:
        """Return the tenant of the key in use now. A new key's namespace is that of its fingerprint at first."""
        fingerprint = self._upstream.key().fingerprint
        if self._tenant is None or self._tenant.fingerprint != fingerprint:
            self._tenant = self._take_up(fingerprint)
        return self._tenant

    def by_fingerprint(self, fingerprint: str) -> Tenant:
        """Return the tenant of a key that something was fetched with, which need not be the one in use any more."""
        return self._tenants.get(fingerprint) or self.current()

    async def open(self) -> None:
        """Begin with the key in use now. Return once the disk was asked for its organization."""
        await asyncio.shield(self._recalling[self.current().fingerprint])

    async def settled(self) -> None:
        """Wait until the upstream has said whose the key in use is."""
        self.current()
        if self._finding is not None:
            await asyncio.shield(self._finding)

    async def aclose(self) -> None:
        """End what is under way."""
        await end_tasks([*self._recalling.values(), self._finding])

    def _take_up(self, fingerprint: str) -> Tenant:
        loop = asyncio.get_running_loop()
        tenant = self._tenants.get(fingerprint)
        if tenant is None:
            tenant = Tenant(fingerprint, fingerprint_namespace(self._upstream.url, self._label, fingerprint))
            self._recalling[fingerprint] = loop.create_task(self._recall(tenant), name="tenancy.remember")
            self._tenants[fingerprint] = tenant
        if self._finding is not None:
            self._finding.cancel()
        self._finding = loop.create_task(self._find_organization(tenant), name="tenancy.find")
        return tenant

    async def _recall(self, tenant: Tenant) -> None:
        organization = await self._store.organization_of(self._upstream.url, tenant.fingerprint)
        if organization is not None:
            await self._adopt(tenant, organization)

    async def _find_organization(self, tenant: Tenant) -> None:
        """Find out a tenant's organization: from the disk first, then from the upstream, which is asked until it answers."""
        await self._recalling[tenant.fingerprint]
        while self._upstream.key().fingerprint == tenant.fingerprint:
            organization = await self._ask_organization(tenant)
            if organization is not None:
                await self._adopt(tenant, organization)
                return
            await self._sleep(RETRY_S)

    async def _ask_organization(self, tenant: Tenant) -> str | None:
        # As the oldest of refreshes (refreshed_s is 0) it goes first among them. A prefetch would never have its turn while
        # refreshes keep waiting.
        ticket = self._upstream.ticket(Priority.REFRESH)
        try:
            reply: Reply[object] = await self._upstream.get(VALIDATE_TARGET, ticket, _check)
            organization = _organization_of(reply.body)
        except (UpstreamError, ValueError) as exc:
            _log.warning("organization.not_found", reason=str(exc), retry_s=RETRY_S)
            return None
        # A key that was changed meanwhile says nothing about this one.
        return organization if reply.fingerprint == tenant.fingerprint else None

    async def _adopt(self, tenant: Tenant, organization: str) -> None:
        """Move the tenant to its organization's namespace, with what was stored under the key's own fingerprint."""
        namespace = organization_namespace(self._upstream.url, self._label, organization)
        if tenant.namespace == namespace:
            return
        old_namespace = fingerprint_namespace(self._upstream.url, self._label, tenant.fingerprint)
        tenant.move(namespace)
        self._renamed(old_namespace, namespace)
        await self._store.adopt(
            self._upstream.url, tenant.fingerprint, organization, old_namespace=old_namespace, new_namespace=namespace
        )
        _log.info("organization.found", organization=organization, fingerprint=tenant.fingerprint)
