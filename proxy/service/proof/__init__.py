"""Whether answers may be computed from what the upstream said.

- `splitter` takes answers apart. `evidence` proves them whole by what was seen before; where that does not tell, `proving` asks
  probes, and `probed` says what these prove.
- `witnesses` sees to it that the upstream still sends as much as was counted on.
- `checks` sees to it that the upstream still follows the rule that answers are computed by; `comparing` has the comparisons.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from proxy.clock import Clock
from proxy.core.proof.limits import Limits
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.checks import Checks
from proxy.service.proof.comparing import Comparer
from proxy.service.proof.evidence import Evidence
from proxy.service.proof.proving import Prover
from proxy.service.proof.splitter import Splitter
from proxy.service.proof.witnesses import Witnesses
from proxy.service.tenancy import Tenancy
from proxy.settings import Settings
from proxy.store.sqlite import SqliteStore
from proxy.tasks import end_tasks
from proxy.upstream.client import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRoom:
    """The room's parts."""

    checks: Checks
    splitter: Splitter
    evidence: Evidence
    prover: Prover
    witnesses: Witnesses


async def open_proof(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    *,
    upstream: Upstream,
    fetcher: Fetcher,
    shelves: Shelves,
    tenancy: Tenancy,
    disk: SqliteStore,
    limits: Limits,
) -> ProofRoom:
    """Open the room; the stack closes it. `limits`: what was seen of how much the upstream sends."""
    checks = Checks(Comparer(upstream), shelves, clock, settings=settings)
    stack.push_async_callback(checks.aclose)
    witnesses = Witnesses(upstream=upstream, limits=limits, shelves=shelves, tenancy=tenancy, disk=disk, clock=clock)
    await witnesses.open()
    stack.push_async_callback(witnesses.aclose)
    watching = asyncio.create_task(witnesses.run(), name="witnesses.run")
    stack.push_async_callback(end_tasks, [watching])
    overlap_s = settings.now.series.overlap_s
    splitter, evidence = Splitter(shelves, overlap_s=overlap_s), Evidence(limits, clock)
    prover = Prover(fetcher, splitter, evidence, clock, overlap_s=overlap_s)
    stack.push_async_callback(prover.aclose)
    return ProofRoom(checks=checks, splitter=splitter, evidence=evidence, prover=prover, witnesses=witnesses)
