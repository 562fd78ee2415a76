"""Questions about several metrics of several runs."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from proxy.standin import sqids

CHARTS = "/api/chart-data/multi-metric-batch-bucketed"
ORGANIZATION = "org_demo"


def asked(text: str) -> str:
    """Return the target with this text as its input."""
    return f"{CHARTS}?input={quote(text, safe='')}"


def chart(runs: Sequence[int | str], names: Sequence[str], project: str = "demo", **more: object) -> str:
    """Return a target; numbers of runs become short ids."""
    texts = [run if isinstance(run, str) else sqids.encode(run) for run in runs]
    return asked(json.dumps({"projectName": project, "runIds": texts, "logNames": list(names), **more}))


def directly(target: str, organization: str = ORGANIZATION) -> str:
    """Return the target that a client sends to pluto-api itself, which wants to be told the organization first."""
    name = json.dumps({"organizationId": organization})[1:-1]
    return target.replace(quote("{"), quote("{" + name + ","), 1)
