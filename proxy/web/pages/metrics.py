"""The states and counts that parts keep themselves, shown as metrics: a function for each room, called when it opens."""

from functools import partial
from typing import Protocol

from proxy.core.budget import Priority, State
from proxy.core.freshness.plan import Condition
from proxy.log.lines import Lines
from proxy.service.access.tokens import Tokens
from proxy.service.fetching.fetcher import Fetcher
from proxy.service.fetching.need import Reason
from proxy.service.knowledge.learner import Learner
from proxy.service.knowledge.shelves import Shelves
from proxy.service.proof.checks import Checks
from proxy.service.proof.proving import Prover
from proxy.service.series.computer import Computer
from proxy.service.series.deltas import Deltas
from proxy.service.series.loading import Loader
from proxy.service.series.rotation import Rotation
from proxy.service.statuses import Statuses
from proxy.service.view.pyramids import Pyramids
from proxy.settings.reloads import Reloads
from proxy.store.memory import MemoryStore
from proxy.store.sqlite import SqliteStore
from proxy.telemetry import Telemetry
from proxy.upstream.client import Upstream
from proxy.upstream.turnstile import Turnstile
from proxy.web.encryption.certificate import Certificate
from proxy.web.gate.limits import ClientLimits
from proxy.web.intake import Intake
from proxy.web.reading.unknown import UnknownParameters
from proxy.web.shortcut.leases import Leases


def expose_clients(
    telemetry: Telemetry, intake: Intake, limits: ClientLimits, unknown: UnknownParameters, leases: Leases
) -> None:
    """Show what clients ask, and what is ready to be sent to them."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("leases", "Answers that are ready to be sent", lambda: leases.count)
    gauge("lease_bytes", "Memory of answers that are ready to be sent, within cache.memory_bytes", lambda: leases.size_bytes)
    count("unparsed_requests", "Hits that were answered by their bytes, without being parsed", lambda: leases.answered)
    count("client_limited", "Requests of clients over their limits", lambda: limits.delayed, what="delayed")
    count("client_limited", "Requests of clients over their limits", lambda: limits.refused, what="refused")
    count("requests_received", "Requests received, answered or not", lambda: intake.requests)
    count("unknown_parameter_requests", "Requests with parameters that were dropped", lambda: unknown.requests)


def expose_upstream(telemetry: Telemetry, fetcher: Fetcher, upstream: Upstream, turnstile: Turnstile) -> None:
    """Show what the upstream is asked, and the budget for asking it."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("upstream_in_flight", "Questions being asked upstream now", lambda: fetcher.in_flight)
    for reason in Reason:
        read = partial(fetcher.series_calls.__getitem__, reason)
        count("series_calls", "Calls about metrics, by what they are made for", read, reason=reason.value)
    gauge("key_refused", "1 while the upstream refuses the shared key", lambda: upstream.condition() is Condition.KEY_REFUSED)
    gauge("cooldown_remaining_seconds", "Time until the upstream is asked again", lambda: turnstile.remaining_s)
    count("cooldowns", "Times that the upstream was left alone", lambda: turnstile.cooldowns)
    gauge("budget_tokens", "Calls that may go at once", lambda: turnstile.tokens)
    gauge("budget_rate_per_second", "Calls a second that are kept to", lambda: turnstile.rate_per_s)
    gauge("budget_burst", "Calls that may follow each other without a pause", lambda: turnstile.burst)
    count("budget_calls", "Calls that the budget let go", lambda: turnstile.calls)
    count("budget_retries", "Calls that were tried again", lambda: turnstile.retries)
    for state in State:
        gauge("budget_state", "1 for the state that the breaker is in", partial(_is, turnstile, state), state=state.value)
    for priority in Priority:
        name = priority.name.lower()
        gauge("budget_waiting", "Calls that wait for their turn", partial(turnstile.waiting, priority), priority=name)
        wait_s = partial(turnstile.wait_s, priority)
        gauge("budget_expected_wait_seconds", "What one who came now would wait", wait_s, priority=name)


def _is(turnstile: Turnstile, state: State) -> bool:
    return turnstile.state is state


def expose_series(telemetry: Telemetry, computer: Computer, deltas: Deltas, loader: Loader, rotation: Rotation) -> None:
    """Show the answers that are computed, and what is asked for them."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    count("series_computed", "Answers computed from what other questions brought", lambda: computer.computed)
    count("series_delta_calls", "Calls for what is new of live runs", lambda: deltas.calls)
    saved = "Calls fewer than one for each metric that was brought up to date"
    count("series_delta_calls_saved", saved, lambda: deltas.calls_saved)
    count("series_loads", "Long series of which loading began, and how it ended", lambda: loader.begun, what="begun")
    count("series_loads", "Long series of which loading began, and how it ended", lambda: loader.finished, what="finished")
    count("series_loads", "Long series of which loading began, and how it ended", lambda: loader.given_up, what="given_up")
    count("series_rotation_changes", "Stretches of long series in which something had changed", lambda: rotation.changes)
    gauge("series_tail_age_seconds", "Age of the newest rows of the last computed answer", lambda: computer.tail_age_s)
    gauge("series_whole_age_seconds", "Time since all of the last computed answer was asked for", lambda: computer.whole_age_s)


def expose_knowledge(telemetry: Telemetry, shelves: Shelves, learner: Learner) -> None:
    """Show what answers are computed from."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("series_bytes", "What complete series take in memory", lambda: shelves.size_bytes)
    count("series_delta_rows_saved", "Rows that calls for what is new didn't ask for again", lambda: learner.rows_saved)
    count("series_delta_misfits", "Times that what was new did not fit what was known", lambda: learner.misfits)


def expose_view(telemetry: Telemetry, pyramids: Pyramids) -> None:
    """Show what charts are made of."""
    telemetry.add_gauge("view_bytes", "What is kept in memory for charts", lambda: pyramids.size_bytes)


def expose_proof(telemetry: Telemetry, checks: Checks, prover: Prover) -> None:
    """Show what is known of the upstream's rule, and of answers that are whole."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("series_trusted", "1 while the upstream samples by the rule that is computed with", lambda: checks.trusted)
    count("series_checks", "Checks of that rule", lambda: checks.passed, result="passed")
    count("series_checks", "Checks of that rule", lambda: checks.failed, result="failed")
    count("series_probes", "Questions asked to prove that an answer is whole", lambda: prover.probes)
    count("series_unproven", "Answers of which that could not be proven", lambda: prover.unproven)


def expose_statuses(telemetry: Telemetry, statuses: Statuses) -> None:
    """Show what is asked about how runs are."""
    for route in ("list", "details"):
        read = partial(statuses.calls.__getitem__, route)
        telemetry.add_count("run_status_calls", "Calls for the status of runs", read, route=route)


def expose_store(telemetry: Telemetry, memory: MemoryStore, disk: SqliteStore) -> None:
    """Show the entries in memory and on disk."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("store_bytes", "What the entries take", lambda: memory.size_bytes, store="memory")
    gauge("store_bytes", "What the entries take", lambda: disk.sizes.file_bytes, store="disk")
    gauge("store_log_bytes", "What the cache file's write-ahead log takes", lambda: disk.sizes.log_bytes)
    gauge("store_entries", "Entries held", lambda: memory.entries, store="memory")
    gauge("store_entries", "Entries held", lambda: disk.sizes.entries, store="disk")
    count("store_evictions", "Entries removed to make room", lambda: memory.evictions, store="memory")
    count("store_evictions", "Entries removed to make room", lambda: disk.counters.evictions, store="disk")
    gauge("store_healthy", "1 while the cache file can be used", lambda: disk.health is None)
    count("store_errors", "Faults of the cache file", lambda: disk.counters.errors)
    count("store_dropped", "Entries that could not be written", lambda: disk.counters.dropped)
    count("store_writes", "Entries written", lambda: disk.counters.writes)
    count("store_corrupt", "Entries that failed their checksum", lambda: disk.counters.corrupt)
    count("store_set_aside", "Cache files set aside", lambda: disk.counters.set_aside)


def expose_reloads(telemetry: Telemetry, reloads: Reloads) -> None:
    """Show what became of reloads of the configuration."""
    gauge, count = telemetry.add_gauge, telemetry.add_count
    gauge("config_last_reload_successful", "1 unless the last reload found a fault", lambda: reloads.last.succeeded)
    gauge("config_loaded_timestamp_seconds", "When the settings that hold were read", lambda: reloads.loaded_s)
    gauge("config_restart_needed", "Changed settings that take a restart", lambda: len(reloads.last.left))
    count("config_reloads", "Reloads of the configuration", lambda: reloads.succeeded, result="done")
    count("config_reloads", "Reloads of the configuration", lambda: reloads.failed, result="failed")


def expose_tokens(telemetry: Telemetry, tokens: Tokens) -> None:
    """Show whether the token file can be used."""
    telemetry.add_gauge("tokens_healthy", "1 while the token file can be used", lambda: tokens.trouble is None)


def expose_certificate(telemetry: Telemetry, certificate: Certificate) -> None:
    """Show how long the certificate that clients are shown is good, and whether its files can be used."""
    gauge = telemetry.add_gauge
    ends = "When the certificate that is shown ends, seconds since the epoch"
    gauge("certificate_expiration_timestamp_seconds", ends, lambda: certificate.validity.end_s)
    gauge("certificate_healthy", "1 while the certificate's files can be used", lambda: certificate.trouble is None)


class Handshakes(Protocol):
    """See web.connection.handshakes, which stands above the pages."""

    done: int
    failed: int


def expose_handshakes(telemetry: Telemetry, handshakes: Handshakes) -> None:
    """Show how many clients got a TLS connection, and how many did not."""
    what = "TLS handshakes of clients, by how they ended"
    telemetry.add_count("handshakes", what, lambda: handshakes.done, result="done")
    telemetry.add_count("handshakes", what, lambda: handshakes.failed, result="failed")


def expose_log(telemetry: Telemetry, lines: Lines) -> None:
    """Show what is lost of the log."""
    telemetry.add_count("log_lines_dropped", "Lines of the log that could not be written", lambda: lines.dropped)
