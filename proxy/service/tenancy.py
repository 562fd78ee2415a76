"""Whose data the shared key reads, and so which namespace entries live in.

Only the upstream can tell which organization a key belongs to. Until it has (or where it can't be asked), entries live in a
namespace of the key's fingerprint. The organization is remembered on disk, so that a restart without the upstream finds its
entries. A rotated key of the same organization keeps the cache; another organization's key never sees it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Annotated, Protocol

import msgspec
import structlog

from proxy.core.budget.line import Priority
from proxy.core.freshness.namespace import fingerprint_namespace, offline_namespace, organization_in, organization_namespace
from proxy.core.lone_surrogates import STAND_IN, read_json
from proxy.errors import ConfigError, UpstreamError
from proxy.generation import Generation
from proxy.store import UnreadError
from proxy.store.tiers import TieredStore
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream
from proxy.upstream.credential import KEYLESS
from proxy.upstream.reply import Reply

VALIDATE_TARGET = "/api/runs/auth/validate"
RETRY_S = 30.0
_log = structlog.get_logger()


class Organization(msgspec.Struct, frozen=True):
    """Whose data a key reads. `slug` is what the upstream's addresses call it, empty until the upstream has said so."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    slug: str = ""


class _Validated(msgspec.Struct):
    valid: bool
    organization: Organization


_validated = msgspec.json.Decoder(_Validated)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def organization_of_answer(body: bytes) -> Organization:
    """Return the organization. Raises ValueError unless the body says that the key is valid and whose it is."""
    try:
        said = read_json(_validated, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"the answer to {VALIDATE_TARGET} does not have the documented shape: {exc}") from None
    if said.valid is not True:
        raise ValueError(f"the answer to {VALIDATE_TARGET} does not say that the key is valid")
    if STAND_IN in said.organization.id:
        raise ValueError(f"the answer to {VALIDATE_TARGET} names an organization that others could not be told from")
    return said.organization


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
        self.organization: Organization | None = None
        """None until it is known."""
        self.is_recalled = False
        """Whether the disk was read for it."""
        self._told = asyncio.Event()

    @property
    def known(self) -> bool:
        """Whether its organization is known."""
        return self.organization is not None

    def move(self, namespace: str, organization: Organization) -> None:
        """Use the namespace of its organization from now on."""
        self.namespace = namespace
        self.organization = organization

    def settle(self, namespace: str) -> None:
        """Use a namespace that the disk names: the organization is known by it, or not at all."""
        self.namespace = namespace
        found = organization_in(namespace)
        self.organization = None if found is None else Organization(id=found)

    def note_recalled(self) -> None:
        """Note that the disk was read for the organization, whether it has it or not."""
        self.is_recalled = True

    def note_told(self) -> None:
        """Note that the upstream was asked for the organization, whether it told it or not."""
        self._told.set()

    async def told(self, *, within_s: float) -> None:
        """Wait until the upstream was asked for the organization, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._told.wait()


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
        offline: bool = False,
        sleep: Sleep = asyncio.sleep,
        renamed: Callable[[str, str], None] = lambda _old, _new: None,
        generation: Generation | None = None,
    ) -> None:
        """`offline`: the upstream is never asked, and the cache file alone tells whose answers are served.

        `renamed` is called with the old namespace and the new one when what is stored moves from one to the other.
        `generation` ends with another key, and where its namespace or its organization becomes another one.
        """
        self._generation = generation or Generation()
        self._upstream = upstream
        self._store = store
        self._label = label
        self._offline = offline
        self._sleep = sleep
        self._renamed = renamed
        self._tenants: dict[str, Tenant] = {}
        # By fingerprint: the task that reads a key's organization from the disk, also once it is done.
        self._recalling: dict[str, asyncio.Task[bool]] = {}
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
        """Begin with the key in use now. Return once the disk was asked for its organization.

        Raises ConfigError where the upstream is never asked, and the disk doesn't tell whose answers to serve.
        """
        found = await asyncio.shield(self._recalling[self.current().fingerprint])
        if self._offline and not found and self.current().is_recalled and self._store.disk.health is None:
            try:
                with suppress(UnreadError):
                    self._namespace_of(self.current(), await self._store.namespaces())
            except ValueError as exc:
                raise ConfigError([f"upstream.offline: {self._store.disk.path}: {exc}"]) from None

    async def settled(self) -> None:
        """Wait until the upstream has said whose the key in use is."""
        self.current()
        if self._finding is not None:
            await asyncio.shield(self._finding)

    async def aclose(self) -> None:
        """End what is under way."""
        await end_tasks([*self._recalling.values(), self._finding])

    def _take_up(self, fingerprint: str) -> Tenant:
        self._generation.end()
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

    async def _recall(self, tenant: Tenant) -> bool:
        """Read a tenant's namespace from the disk. Return whether the disk could be read, and tells it."""
        names: Sequence[str] = ()
        try:
            organization = await self._store.organization_of(self._upstream.url, tenant.fingerprint)
            if organization is None and self._offline:
                names = await self._store.namespaces()
        except UnreadError:
            return False
        tenant.note_recalled()
        if organization is not None:
            await self._adopt(tenant, Organization(id=organization))
        elif self._offline:
            try:
                namespace = self._namespace_of(tenant, names)
            except ValueError:
                return False
            tenant.settle(namespace)
            self._generation.end()
        return organization is not None or self._offline

    def _namespace_of(self, tenant: Tenant, names: Sequence[str]) -> str:
        """Return which of the disk's namespaces a tenant has. Raises ValueError where that can't be told."""
        fingerprint = None if tenant.fingerprint == KEYLESS.fingerprint else tenant.fingerprint
        return offline_namespace(names, self._upstream.url, self._label, fingerprint)

    async def _find_organization(self, tenant: Tenant) -> None:
        """Find out a tenant's organization: from the disk first, then from the upstream, which is asked until it answers."""
        found = await self._recalling[tenant.fingerprint]
        if self._offline:
            tenant.note_told()  # nobody will tell more
        while self._offline and not found:
            # The disk may have been at fault.
            await self._sleep(RETRY_S)
            found = await self._recall(tenant)
        while not self._offline and self._upstream.key().fingerprint == tenant.fingerprint:
            if not tenant.is_recalled:
                await self._recall(tenant)
            organization = await self._ask_organization(tenant)
            if organization is not None:
                await self._adopt(tenant, organization)
            tenant.note_told()
            if organization is not None:
                return
            await self._sleep(RETRY_S)

    async def _ask_organization(self, tenant: Tenant) -> Organization | None:
        # As the oldest of refreshes (refreshed_s is 0) it goes first among them. A prefetch would never have its turn while
        # refreshes keep waiting.
        ticket = self._upstream.ticket(Priority.REFRESH)
        try:
            reply: Reply[object] = await self._upstream.get(VALIDATE_TARGET, ticket, _check)
            organization = organization_of_answer(reply.body)
        except (UpstreamError, ValueError) as exc:
            _log.warning("organization.not_found", reason=str(exc), retry_s=RETRY_S)
            return None
        # A key that was changed meanwhile says nothing about this one.
        return organization if reply.fingerprint == tenant.fingerprint else None

    async def _adopt(self, tenant: Tenant, organization: Organization) -> None:
        """Move the tenant to its organization's namespace, with what was stored under the key's own fingerprint."""
        namespace = organization_namespace(self._upstream.url, self._label, organization.id)
        moves = tenant.namespace != namespace
        tenant.move(namespace, organization)
        self._generation.end()
        if not moves:
            return
        old_namespace = fingerprint_namespace(self._upstream.url, self._label, tenant.fingerprint)
        self._renamed(old_namespace, namespace)
        await self._store.adopt(
            self._upstream.url, tenant.fingerprint, organization.id, old_namespace=old_namespace, new_namespace=namespace
        )
        _log.info("organization.found", organization=organization.id, fingerprint=tenant.fingerprint)
