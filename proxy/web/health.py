"""`/livez`: the process answers. `/readyz`: it should be sent requests. `/metrics`: for Prometheus."""

import msgspec
from aiohttp import web

from proxy.core.plan import Condition
from proxy.telemetry import CONTENT_TYPE
from proxy.web.keys import Parts


def livez(_parts: Parts, _query: str) -> web.Response:
    """Return 200: whoever can answer is alive."""
    return web.Response(text="ok\n")


def readyz(parts: Parts, query: str) -> web.Response:
    """Return 200 while requests are taken, 503 once the process is ending; `?verbose` tells more, as JSON.

    An upstream that fails, a refused key or a broken cache file don't make the proxy unready: it goes on answering what it
    can, and taking it out of service would help nobody. All of them are told.
    """
    status = 503 if parts.draining else 200
    troubles = _troubles(parts)
    if query.partition("=")[0] != "verbose":
        return web.Response(status=status, text="\n".join(["draining" if parts.draining else "ok", *troubles]) + "\n")
    document = {
        "ready": not parts.draining,
        "troubles": troubles,
        "upstream": {
            "condition": parts.upstream.condition().value,
            "cooldown_remaining_s": round(parts.upstream.cooldown.remaining_s, 3),
            "in_flight": parts.fetcher.in_flight,
        },
        "store": {
            "disk": parts.store.disk.health or "ok",
            "disk_bytes": parts.store.disk.sizes.file_bytes,
            "disk_entries": parts.store.disk.sizes.entries,
            "memory_bytes": parts.store.memory.size_bytes,
            "memory_entries": parts.store.memory.entries,
        },
        "organization_known": parts.tenancy.current().known,
    }
    return web.Response(status=status, body=msgspec.json.encode(document), content_type="application/json")


def metrics(parts: Parts, _query: str) -> web.Response:
    """Return the metrics in Prometheus's text format."""
    return web.Response(body=parts.telemetry.exposition(), headers={"Content-Type": CONTENT_TYPE})


def _troubles(parts: Parts) -> list[str]:
    troubles: list[str] = []
    match parts.upstream.condition():
        case Condition.KEY_REFUSED:
            troubles.append("pluto-api refuses the shared key: only what is fresh is served")
        case Condition.RESTING:
            troubles.append(f"pluto-api is left alone for another {parts.upstream.cooldown.remaining_s:.0f} s")
        case Condition.OPEN:
            pass
    if (health := parts.store.disk.health) is not None:
        troubles.append(health)
    return troubles


HEALTH = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
