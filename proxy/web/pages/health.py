"""`/livez`: the process answers. `/readyz`: it should be sent requests. `/metrics`: for Prometheus."""

import msgspec
from aiohttp import web

from proxy.core.budget import Priority
from proxy.core.freshness.plan import Condition
from proxy.web.parts import Parts


def livez(_parts: Parts, _query: str, _accept: str) -> web.Response:
    """Return 200: whoever can answer is alive."""
    return web.Response(text="ok\n")


def readyz(parts: Parts, query: str, _accept: str) -> web.Response:
    """Return 200 while requests are taken, 503 once the process is ending; `?verbose` tells more, as JSON.

    An upstream that fails, a refused key or a broken cache file don't make the proxy unready: it goes on answering what it
    can, and taking it out of service would help nobody. All of them are told.
    """
    status = 503 if parts.draining else 200
    troubles = _troubles(parts)
    if query.partition("=")[0] != "verbose":
        return web.Response(status=status, text="\n".join(["draining" if parts.draining else "ok", *troubles]) + "\n")
    return web.Response(status=status, body=msgspec.json.encode(health_document(parts)), content_type="application/json")


def health_document(parts: Parts) -> dict[str, object]:
    """Return the state of everything, without a name of a run, a project or a metric."""
    return {
        "ready": not parts.draining,
        "troubles": _troubles(parts),
        "upstream": _upstream(parts),
        "store": {
            "disk": parts.store.disk.health or "ok",
            "disk_bytes": parts.store.disk.sizes.file_bytes,
            "disk_log_bytes": parts.store.disk.sizes.log_bytes,
            "disk_entries": parts.store.disk.sizes.entries,
            "memory_bytes": parts.store.memory.size_bytes,
            "memory_entries": parts.store.memory.entries,
        },
        "series": {
            "trusted": parts.proof.checks.trusted,
            "answers_computed": parts.series.computer.computed,
            "checks_passed": parts.proof.checks.passed,
            "checks_failed": parts.proof.checks.failed,
        },
        "tokens": None if parts.tokens is None else parts.tokens.trouble or "ok",
        "organization_known": parts.tenancy.current().known,
    }


def _upstream(parts: Parts) -> dict[str, object]:
    turnstile, now_s = parts.turnstile, parts.clock.monotonic_s()
    budget = turnstile.budget
    return {
        "condition": parts.upstream.condition().value,
        "state": turnstile.state.value,
        "unreachable": parts.upstream.unreachable,
        "cooldown_remaining_s": round(turnstile.remaining_s, 3),
        "tokens": round(budget.tokens(now_s), 2),
        "rate_per_s": round(budget.rate_per_s(now_s), 3),
        "burst": round(budget.burst(now_s), 2),
        "in_flight": budget.in_flight,
        "waiting": {priority.name.lower(): budget.line.waiting(priority) for priority in Priority},
        "expected_wait_s": {priority.name.lower(): round(turnstile.wait_s(priority), 3) for priority in Priority},
        "calls": budget.calls,
        "retries": budget.retries,
    }


def metrics(parts: Parts, _query: str, accept: str) -> web.Response:
    """Return the metrics in the text format of Prometheus that is accepted."""
    body, content_type = parts.telemetry.exposition(accept)
    return web.Response(body=body, headers={"Content-Type": content_type})


def _troubles(parts: Parts) -> list[str]:
    troubles: list[str] = []
    match parts.upstream.condition():
        case Condition.KEY_REFUSED:
            troubles.append("pluto-api refuses the shared key: only what is fresh is served")
        case Condition.RESTING:
            troubles.append(f"pluto-api is left alone for another {parts.turnstile.remaining_s:.0f} s")
        case Condition.OPEN:
            pass
    if parts.upstream.unreachable is not None:
        troubles.append(f"pluto-api: the last call failed: {parts.upstream.unreachable}")
    if not parts.proof.checks.trusted:
        troubles.append("pluto-api samples series by another rule than it did: nothing is computed, every question is asked")
    if parts.tokens is not None and parts.tokens.trouble is not None:
        troubles.append("the token file cannot be used: the tokens that were read last go on being good")
    if parts.store.disk.effect is not None:
        troubles.append(parts.store.disk.effect)
    if parts.lines is not None and parts.lines.losing:
        troubles.append("standard error cannot be written to: lines of the log are being lost")
    return troubles


def is_open(path: str, query: str) -> bool:
    """Tell whether it is told to everybody, token or not: what probes ask, and no more."""
    return path == "/livez" or (path == "/readyz" and not query)


HEALTH = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}
