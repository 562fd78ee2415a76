"""What the parts tell of themselves: their metrics."""

from proxy.app.parts import Parts
from proxy.log.lines import Lines
from proxy.telemetry import Telemetry
from proxy.web.encryption.certificate import Certificate
from proxy.web.pages.metrics import (
    expose_certificate,
    expose_handshakes,
    expose_knowledge,
    expose_log,
    expose_proof,
    expose_reloads,
    expose_series,
    expose_statuses,
    expose_store,
    expose_tokens,
    expose_upstream,
    expose_view,
)


def expose(telemetry: Telemetry, parts: Parts, *, certificate: Certificate | None, lines: Lines | None) -> None:
    """Show the metrics of all parts."""
    series = parts.series
    expose_upstream(telemetry, parts.fetching.fetcher, parts.upstream, parts.turnstile)
    expose_series(telemetry, series.computer, series.deltas, series.loader, series.rotation)
    expose_knowledge(telemetry, parts.shelves, series.learner)
    expose_view(telemetry, parts.view.pyramids)
    expose_proof(telemetry, parts.proof.checks, parts.proof.prover)
    expose_statuses(telemetry, parts.statuses)
    expose_store(telemetry, parts.store.memory, parts.store.disk)
    expose_tokens(telemetry, parts.tokens)
    expose_reloads(telemetry, parts.reloads)
    if certificate is not None and parts.web.server.handshakes is not None:
        expose_certificate(telemetry, certificate)
        expose_handshakes(telemetry, parts.web.server.handshakes)
    if lines is not None:
        expose_log(telemetry, lines)
