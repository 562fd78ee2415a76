"""Whose data a query that names an organization may be answered with."""

import pytest

from proxy.core.question.query import Query, read_query
from proxy.core.question.routes import CHART_DATA, METRICS
from proxy.errors import UpstreamBusy, WrongOrganization
from proxy.service.access.organizations import Organizations
from proxy.service.tenancy import Organization, Tenant
from tests.support.charts import chart
from tests.support.settings import settings


def asked(**given: str) -> Query:
    return read_query(CHART_DATA, chart([1], ["loss"], **given).partition("?")[2])


def tenant(organization: str | None) -> Tenant:
    of = Tenant("fingerprint", "namespace")
    if organization is not None:
        of.move("namespace", Organization(id=organization))
    return of


def test_the_key_may_have_changed_while_the_query_waited(organizations: Organizations) -> None:
    """What was read with a key of another organization than the one that was named is for nobody who named that one."""
    organizations.check(asked(organizationId="org_a"), tenant("org_a"))
    organizations.check(asked(), tenant("org_b"))
    organizations.check(read_query(METRICS, "runId=1&projectName=p"), tenant(None))
    with pytest.raises(WrongOrganization):
        organizations.check(asked(organizationId="org_a"), tenant("org_b"))
    for query in (asked(), asked(organizationId="org_a")):
        with pytest.raises(UpstreamBusy):
            organizations.check(query, tenant(None))


@pytest.fixture
def organizations() -> Organizations:
    class Nobody:
        """No tenancy is looked at here."""

    return Organizations(Nobody(), settings())  # type: ignore[arg-type]  # see above
