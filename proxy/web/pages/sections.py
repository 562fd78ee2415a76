"""What `/readyz` says of each part of the proxy."""

from collections.abc import Iterator

from proxy.core.budget import Priority
from proxy.core.freshness.plan import Condition
from proxy.log.lines import Lines
from proxy.service.access.tokens import Tokens
from proxy.service.proof.checks import Checks
from proxy.service.series.computer import Computer
from proxy.service.tenancy import Tenancy
from proxy.settings.reloads import Reloads
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import Turnstile
from proxy.web.encryption.certificate import Certificate
from proxy.web.pages.health import Section

_DAY_S = 86_400
_SOON_S = 7 * _DAY_S


def upstream_section(upstream: Upstream, turnstile: Turnstile) -> Section:
    """Return what is said of pluto-api, and of the budget for asking it."""

    def state() -> dict[str, object]:
        return {
            "condition": upstream.condition().value,
            "state": turnstile.state.value,
            "unreachable": upstream.unreachable,
            "cooldown_remaining_s": round(turnstile.remaining_s, 3),
            "tokens": round(turnstile.tokens, 2),
            "rate_per_s": round(turnstile.rate_per_s, 3),
            "burst": round(turnstile.burst, 2),
            "in_flight": turnstile.in_flight,
            "waiting": {priority.name.lower(): turnstile.waiting(priority) for priority in Priority},
            "expected_wait_s": {priority.name.lower(): round(turnstile.wait_s(priority), 3) for priority in Priority},
            "calls": turnstile.calls,
            "retries": turnstile.retries,
        }

    def troubles() -> Iterator[str]:
        match upstream.condition():
            case Condition.KEY_REFUSED:
                yield "pluto-api refuses the shared key: only what is fresh is served"
            case Condition.RESTING:
                yield f"pluto-api is left alone for another {turnstile.remaining_s:.0f} s"
            case Condition.OFFLINE:
                yield "offline: pluto-api is never asked, and what is stored is served however old it is"
            case Condition.OPEN:
                pass
        if upstream.unreachable is not None:
            yield f"pluto-api: the last call failed: {upstream.unreachable}"

    return Section(states={"upstream": state}, troubles=troubles)


def series_section(computer: Computer, checks: Checks) -> Section:
    """Return what is said of the answers that are computed, and of the rule that they are computed by."""

    def state() -> dict[str, object]:
        return {
            "trusted": checks.trusted,
            "answers_computed": computer.computed,
            "checks_passed": checks.passed,
            "checks_failed": checks.failed,
        }

    def troubles() -> Iterator[str]:
        if not checks.trusted:
            yield "pluto-api samples series by another rule than it did: nothing is computed, every question is asked"

    return Section(states={"series": state}, troubles=troubles)


def tokens_section(tokens: Tokens) -> Section:
    """Return what is said of the token file: None where no tokens are needed."""

    def troubles() -> Iterator[str]:
        if tokens.trouble is not None:
            yield "the token file cannot be used: the tokens that were read last go on being good"

    return Section(states={"tokens": lambda: (tokens.trouble or "ok") if tokens.needed else None}, troubles=troubles)


def configuration_section(reloads: Reloads) -> Section:
    """Return what is said of the settings: whether they are those of the file and the environment."""

    def state() -> dict[str, object]:
        last = reloads.last
        return {
            "loaded_at_s": round(reloads.loaded_s, 3),
            "reloads": reloads.succeeded,
            "reloads_failed": reloads.failed,
            "faults": list(last.faults),
            "restart_needed": list(last.left),
        }

    def troubles() -> Iterator[str]:
        if reloads.last.faults:
            yield "the configuration could not be reloaded: the settings of before hold; the log says why"
        if reloads.last.left:
            yield "some of the changed settings take a restart; the log names them"

    return Section(states={"configuration": state}, troubles=troubles)


def certificate_section(certificate: Certificate | None) -> Section:
    """Return what is said of the certificate that clients are shown (None: connections aren't encrypted)."""
    if certificate is None:
        return Section(states={"certificate": lambda: None})

    def state() -> dict[str, object]:
        return {"files": certificate.trouble or "ok", "remaining_days": round(certificate.remaining_s / _DAY_S, 2)}

    def troubles() -> Iterator[str]:
        if certificate.trouble is not None:
            yield "the certificate's files cannot be used: the certificate that was read last goes on being shown"
        if certificate.remaining_s < 0:
            yield "the certificate has expired: clients refuse it"
        elif certificate.remaining_s < _SOON_S:
            yield f"the certificate is good for {certificate.remaining_s / _DAY_S:.1f} more days only"

    return Section(states={"certificate": state}, troubles=troubles)


def store_section(memory: MemoryStore, disk: SqliteStore) -> Section:
    """Return what is said of the entries in memory and on disk."""

    def state() -> dict[str, object]:
        return {
            "disk": disk.health or "ok",
            "disk_bytes": disk.sizes.file_bytes,
            "disk_log_bytes": disk.sizes.log_bytes,
            "disk_entries": disk.sizes.entries,
            "memory_bytes": memory.size_bytes,
            "memory_entries": memory.entries,
        }

    def troubles() -> Iterator[str]:
        if disk.effect is not None:
            yield disk.effect

    return Section(states={"store": state}, troubles=troubles)


def log_section(lines: Lines | None) -> Section:
    """Return what is said of the log (None: it isn't ours)."""

    def troubles() -> Iterator[str]:
        if lines is not None and lines.losing:
            yield "standard error cannot be written to: lines of the log are being lost"

    return Section(states={}, troubles=troubles)


def organization_section(tenancy: Tenancy) -> Section:
    """Return what is said of the organization whose data the shared key reads."""
    return Section(states={"organization_known": lambda: tenancy.current().known})
