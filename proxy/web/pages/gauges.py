"""The states and counts that the parts keep themselves, shown as metrics."""

from functools import partial

from proxy.core.budget import Priority, State
from proxy.core.freshness.plan import Condition
from proxy.upstream.turnstile import Turnstile
from proxy.web.parts import Parts


def expose(parts: Parts) -> None:
    """Let the metrics read the parts' own numbers."""
    gauge, count = parts.telemetry.gauge, parts.telemetry.count
    upstream, memory, disk = parts.upstream, parts.store.memory, parts.store.disk
    count("client_limited", "Requests of clients over their limits", lambda: parts.limits.delayed, what="delayed")
    count("client_limited", "Requests of clients over their limits", lambda: parts.limits.refused, what="refused")
    count("requests_received", "Requests received, answered or not", lambda: parts.requests)
    gauge("upstream_in_flight", "Questions being asked upstream now", lambda: parts.fetching.fetcher.in_flight)
    gauge("key_refused", "1 while the upstream refuses the shared key", lambda: upstream.condition() is Condition.KEY_REFUSED)
    if (lines := parts.lines) is not None:
        count("log_lines_dropped", "Lines of the log that could not be written", lambda: lines.dropped)
    _expose_budget(parts)
    _expose_series(parts)
    count("unknown_parameter_requests", "Requests with parameters that were dropped", lambda: parts.unknown.requests)
    gauge("store_bytes", "What the entries take", lambda: memory.size_bytes, store="memory")
    gauge("store_bytes", "What the entries take", lambda: disk.sizes.file_bytes, store="disk")
    gauge("store_log_bytes", "What the cache file's write-ahead log takes", lambda: disk.sizes.log_bytes)
    gauge("store_entries", "Entries held", lambda: memory.entries, store="memory")
    gauge("store_entries", "Entries held", lambda: disk.sizes.entries, store="disk")
    count("store_evictions", "Entries removed to make room", lambda: memory.evictions, store="memory")
    count("store_evictions", "Entries removed to make room", lambda: disk.counters.evictions, store="disk")
    if (tokens := parts.tokens) is not None:
        gauge("tokens_healthy", "1 while the token file can be used", lambda: tokens.trouble is None)
    gauge("store_healthy", "1 while the cache file can be used", lambda: disk.health is None)
    count("store_errors", "Faults of the cache file", lambda: disk.counters.errors)
    count("store_dropped", "Entries that could not be written", lambda: disk.counters.dropped)
    count("store_writes", "Entries written", lambda: disk.counters.writes)
    count("store_corrupt", "Entries that failed their checksum", lambda: disk.counters.corrupt)
    count("store_set_aside", "Cache files set aside", lambda: disk.counters.set_aside)


def _expose_budget(parts: Parts) -> None:
    gauge, count, turnstile = parts.telemetry.gauge, parts.telemetry.count, parts.turnstile
    budget = turnstile.budget
    gauge("cooldown_remaining_seconds", "Time until the upstream is asked again", lambda: turnstile.remaining_s)
    count("cooldowns", "Times that the upstream was left alone", lambda: budget.breaker.begun)
    gauge("budget_tokens", "Calls that may go at once", lambda: budget.tokens(parts.clock.monotonic_s()))
    gauge("budget_rate_per_second", "Calls a second that are kept to", lambda: budget.rate_per_s(parts.clock.monotonic_s()))
    gauge("budget_burst", "Calls that may follow each other without a pause", lambda: budget.burst(parts.clock.monotonic_s()))
    count("budget_calls", "Calls that the budget let go", lambda: budget.calls)
    count("budget_retries", "Calls that were tried again", lambda: budget.retries)
    for state in State:
        gauge("budget_state", "1 for the state that the breaker is in", partial(_is, turnstile, state), state=state.value)
    for priority in Priority:
        name = priority.name.lower()
        waiting = partial(budget.line.waiting, priority)
        gauge("budget_waiting", "Calls that wait for their turn", waiting, priority=name)
        wait_s = partial(turnstile.wait_s, priority)
        gauge("budget_expected_wait_seconds", "What one who came now would wait", wait_s, priority=name)


def _is(turnstile: Turnstile, state: State) -> bool:
    return turnstile.state is state


def _expose_series(parts: Parts) -> None:
    gauge, count, series, deltas = parts.telemetry.gauge, parts.telemetry.count, parts.series.computer, parts.series.deltas
    checks = parts.proof.checks
    count("series_computed", "Answers computed from what other questions brought", lambda: series.computed)
    gauge("series_trusted", "1 while the upstream samples by the rule that is computed with", lambda: checks.trusted)
    count("series_checks", "Checks of that rule", lambda: checks.passed, result="passed")
    count("series_checks", "Checks of that rule", lambda: checks.failed, result="failed")
    count("series_delta_calls", "Calls for what is new of live runs", lambda: deltas.calls)
    count("series_delta_rows_saved", "Rows that such calls didn't ask for again", lambda: parts.series.learner.rows_saved)
    count("series_probes", "Questions asked to prove that an answer is whole", lambda: parts.proof.prover.probes)
    count("series_unproven", "Answers of which that could not be proven", lambda: parts.proof.prover.unproven)
    count("series_delta_misfits", "Times that what was new did not fit what was known", lambda: parts.series.learner.misfits)
    count("series_assembled", "Long series put together from windows", lambda: parts.series.assembler.assembled)
    gauge("series_bytes", "What complete series take in memory", lambda: parts.shelves.size_bytes)
    gauge("series_tail_age_seconds", "Age of the newest rows of the last computed answer", lambda: series.tail_age_s)
    gauge("series_whole_age_seconds", "Time since all of the last computed answer was asked for", lambda: series.whole_age_s)
    for route in ("list", "details"):
        count("run_status_calls", "Calls for the status of runs", partial(parts.statuses.calls.__getitem__, route), route=route)
