"""A purge that one of the two is told holds in both: both answer for the same clients."""

from typing import Any

import structlog

from proxy.core.freshness.purge import Purge
from proxy.restart.link import Link
from proxy.restart.messages import Forget
from proxy.service.purging import Purging

# How long the other process may take: whoever asked for the purge waits for it.
_PURGE_S = 5.0
_log = structlog.get_logger()


async def tell(link: Link[Any], purge: Purge) -> None:
    """Have the other process carry out a purge, too, and wait for it. One that is gone answers nobody."""
    if link.is_lost:
        return
    try:
        await link.ask(Forget(purge=purge), within_s=_PURGE_S)
    except OSError as exc:
        _log.warning("restart.purge_not_told", reason=str(exc) or "it takes too long")


async def carry_out(purging: Purging, purge: Purge) -> None:
    """Carry out a purge that the other process told, which may have been told before."""
    if not purging.purges.knows(purge):
        await purging.purge(purge)
