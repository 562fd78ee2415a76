"""Whether a query may be about the organization that it names, as far as the proxy knows whose data the shared key reads."""

from proxy.core.question.query import Query
from proxy.errors import WrongOrganization
from proxy.service.fetching.addresses import organization_unknown
from proxy.service.tenancy import Tenancy, Tenant
from proxy.settings import Settings


class Organizations:
    """Judges queries whose upstream wants to be told the organization. Clients need not name it."""

    def __init__(self, tenancy: Tenancy, settings: Settings) -> None:
        self._tenancy = tenancy
        self._settings = settings

    async def admit(self, query: Query) -> None:
        """Let a query pass.

        Raises WrongOrganization where it names another organization, and UpstreamBusy where the organization isn't known.
        """
        if query.route.batch is None:
            return
        tenant = self._tenancy.current()
        if tenant.organization is None:
            await tenant.told(within_s=self._settings.now.upstream.deadline_s)
        self.check(query, tenant)

    def check(self, query: Query, tenant: Tenant) -> None:
        """Raise as `admit` does where a query may not be answered with a tenant's data.

        While it waited the key may have become another organization's.
        """
        if query.route.batch is None:
            return
        if tenant.organization is None:
            raise organization_unknown()
        if query.organization is not None and query.organization != tenant.organization.id:
            raise WrongOrganization("organizationId names another organization than the one whose data this proxy reads")
