"""`pluto-proxy doctor`: everything that serving takes is looked at, and each line says ok or what to do."""

import argparse
import asyncio
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from proxy.cli.checkup import (
    Finding,
    State,
    check_access,
    check_descriptors,
    check_key,
    check_store,
    check_variables,
    check_versions,
    fine,
)
from proxy.cli.listening_checkup import check_certificate, check_ports
from proxy.cli.output import columns_of, plain, span, wrapped, write, write_json
from proxy.cli.place import Place, place_of, url_of
from proxy.cli.running import Reply, reaching, told
from proxy.clock import SystemClock
from proxy.config import KeySource, LoadedConfig, load
from proxy.config.addresses import is_loopback
from proxy.config.model import Config, UpstreamSettings
from proxy.errors import CommandError, ConfigError, KeyRefused, UpstreamError
from proxy.service.tenancy import VALIDATE_TARGET, organization_of_answer
from proxy.settings import Settings
from proxy.telemetry import Telemetry
from proxy.upstream.credential import read_source
from proxy.upstream.exchange import Bounds, Exchange
from proxy.upstream.reply import BUSY_STATUSES, error_of
from proxy.upstream.reply import Reply as UpstreamReply
from proxy.upstream.tls import certificate_reason, handshake_reason, ssl_context
from proxy.upstream.wire import open_wire

_MOST_BYTES, _ANSWER_S = 2**20, 10.0
_CHECK_CHARACTERS, _STATE_CHARACTERS = 14, 9
# A Date has whole seconds, and takes a moment to arrive.
_CLOCK_S = 5.0
_SOON_S = 14 * 86_400
_STYLES = {State.OK: "green", State.ADVICE: "yellow", State.FAULT: "bold red", State.SKIPPED: "dim"}


def run_doctor(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Print what was found. Return 0, or 1 where there is a fault. Raises ConfigError."""
    loaded = load(arguments.config, environ)
    try:
        place = place_of(arguments.url, arguments.token_file, environ, loaded.config, ca_file=arguments.ca_file)
    except ConfigError:
        if arguments.url or arguments.token_file or arguments.ca_file:
            raise
        place = None  # nobody can say where it listens (port 0), or what certificate it shows
    findings = asyncio.run(_examine(loaded, place, as_json=arguments.json))
    if arguments.json:
        write_json([{"check": one.check, "state": one.state, "text": one.text, "todo": one.todo} for one in findings])
    return int(any(one.state is State.FAULT for one in findings))


async def _examine(loaded: LoadedConfig, place: Place | None, *, as_json: bool) -> list[Finding]:
    findings: list[Finding] = []
    async for finding in _findings(loaded, place):
        findings.append(finding)
        if not as_json:
            _show(finding)
    return findings


async def _findings(loaded: LoadedConfig, place: Place | None) -> AsyncIterator[Finding]:
    config = loaded.config
    for found in (check_versions(), check_key(loaded), check_variables(loaded)):
        for finding in found:
            yield finding
    async for finding in _check_upstream(config.upstream, loaded.key):
        yield finding
    running = await _running(place)
    for found in (
        check_store(config),
        check_access(config),
        check_certificate(config),
        check_ports(config, runs=running is not None and _is_ours(place, config)),
        check_descriptors(config),
    ):
        for finding in found:
            yield finding
    yield _check_rule(running)


def _is_ours(place: Place | None, config: Config) -> bool:
    """Tell whether a place is where this configuration listens, and not another proxy."""
    try:
        return place is not None and place.url == url_of(config)
    except ConfigError:
        return False


def _show(finding: Finding) -> None:
    """Print a finding, wrapped to the terminal's width; its state in colour there."""
    indent = " " * (_STATE_CHARACTERS + _CHECK_CHARACTERS)
    columns = columns_of(sys.stdout) if sys.stdout.isatty() else 1_000_000
    text = f"{finding.state:<{_STATE_CHARACTERS}}{finding.check:<{_CHECK_CHARACTERS}}{plain(finding.text)}"
    lines = wrapped(text, columns, indent=indent)
    if finding.todo:
        lines += wrapped(f"{indent}-> {plain(finding.todo)}", columns, indent=f"{indent}   ")
    if not sys.stdout.isatty():
        for line in lines:
            write(line)
        return
    from rich.console import Console  # noqa: PLC0415 -- takes longer to load than most commands run
    from rich.text import Text  # noqa: PLC0415 -- as above

    shown = Text("\n".join(lines))
    shown.stylize(_STYLES[finding.state], 0, len(finding.state))
    Console(highlight=False).print(shown)


async def _check_upstream(settings: UpstreamSettings, source: KeySource | None) -> AsyncIterator[Finding]:
    """Ask pluto-api whose the key is, and look at its certificate and its clock."""
    parts = urlsplit(settings.url)
    if settings.offline:
        yield Finding(check="pluto-api", state=State.SKIPPED, text="never asked: upstream.offline is set")
        return
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        text = f"{settings.url} is not encrypted: whoever is on the way can read the key"
        yield Finding(check="encryption", state=State.ADVICE, text=text, todo="set upstream.url to its https:// address")
    if parts.scheme == "https" and settings.proxy is None:
        yield await _check_certificate(settings, parts.hostname or "", parts.port or 443)
    if source is None:
        yield Finding(check="pluto-api", state=State.SKIPPED, text="not asked: there is no key")
        return
    try:
        reply = await _validate(settings, source)
    except ConfigError as exc:
        yield Finding(check="pluto-api", state=State.FAULT, text=exc.faults[0], todo="mend what it names")
        return
    except UpstreamError as exc:
        todo = "see docs/how-to/operations.md, Company networks, for proxies and certificates"
        yield Finding(check="pluto-api", state=State.FAULT, text=exc.detail, todo=todo)
        return
    yield _check_answer(settings, reply)
    yield _check_clock(reply)


async def _validate(settings: UpstreamSettings, source: KeySource) -> UpstreamReply[object]:
    clock, key = SystemClock(), read_source(source).key
    async with open_wire(settings, clock) as wire:
        exchange = Exchange(Settings(Config(upstream=settings)), clock, wire, Telemetry())
        return await exchange.send(VALIDATE_TARGET, key, timeout_s=settings.deadline_s, bounds=Bounds(bytes=_MOST_BYTES))


def _check_answer(settings: UpstreamSettings, reply: UpstreamReply[object]) -> Finding:
    took = f"{settings.url} answers in {reply.elapsed_s:.2f} s"
    if reply.status in BUSY_STATUSES:
        text, todo = f"{took}: {reply.status}, ask less", "wait: others may be using the key's share, too"
        return Finding(check="pluto-api", state=State.ADVICE, text=text, todo=todo)
    error = error_of(reply)
    if isinstance(error, KeyRefused):
        text, todo = f"{took}: it refuses the key ({reply.status})", "make a new key in Pluto's settings"
        return Finding(check="organization", state=State.FAULT, text=text, todo=todo)
    try:
        if error is not None:
            raise ValueError(error.detail)  # noqa: TRY301 -- one place says what follows from any of these
        if reply.status != 200:
            raise ValueError(f"the answer to {VALIDATE_TARGET} has status {reply.status}")  # noqa: TRY301 -- as above
        organization = organization_of_answer(reply.body)
    except ValueError as exc:
        todo = "is upstream.url the API's base URL?"
        return Finding(check="organization", state=State.FAULT, text=f"{took}: {exc}", todo=todo)
    return fine("organization", f"{took}: the key is good, for {organization.id}")


def _check_clock(reply: UpstreamReply[object]) -> Finding:
    """Compare this machine's clock with the upstream's Date."""
    try:
        there_s = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, TypeError):
        return Finding(check="clock", state=State.SKIPPED, text="pluto-api sends no Date")
    # The Date is of some moment of the exchange, cut to whole seconds.
    early_s, late_s = there_s - (reply.sent_at_s + reply.elapsed_s), reply.sent_at_s - (there_s + 1.0)
    apart_s = max(0.0, early_s, late_s)
    if apart_s <= _CLOCK_S:
        return fine("clock", f"agrees with pluto-api's within {max(1.0, apart_s):.0f} s")
    behind = "behind" if early_s > 0 else "ahead of"
    text = f"this machine's clock is {span(apart_s)} {behind} pluto-api's: ages and lifetimes may be wrong"
    return Finding(check="clock", state=State.ADVICE, text=text, todo="let it be set by NTP (timedatectl set-ntp true)")


async def _check_certificate(settings: UpstreamSettings, host: str, port: int) -> Finding:
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            connecting = asyncio.open_connection(host, port, ssl=ssl_context(settings.ca_file), server_hostname=host)
            _, writer = await connecting
        found = writer.get_extra_info("peercert") or {}
        writer.close()
    except ConfigError as exc:
        return Finding(check="certificate", state=State.FAULT, text=exc.faults[0], todo="mend the file, or name another one")
    except OSError as exc:
        # The call that follows meets the same, and is judged for it.
        return Finding(check="certificate", state=State.SKIPPED, text=f"no connection: {_reason(exc)}")
    return _judge_certificate(found, datetime.now(UTC).timestamp())


def _reason(exc: OSError) -> str:
    """Say why there is no connection, or none that is encrypted."""
    match exc:
        case ssl.SSLCertVerificationError():
            return certificate_reason(exc)
        case ssl.SSLError():
            return handshake_reason(exc)
        case TimeoutError():
            return "no answer"
        case _:
            return exc.strerror or str(exc)


def _judge_certificate(certificate: Mapping[str, object], now_s: float) -> Finding:
    until_s = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    until = datetime.fromtimestamp(until_s, UTC).strftime("%Y-%m-%d")
    if until_s - now_s < _SOON_S:
        todo = "tell whoever runs pluto-api: after that it can't be asked"
        return Finding(check="certificate", state=State.ADVICE, text=f"good until {until}, which is soon", todo=todo)
    return fine("certificate", f"accepted, good until {until}")


async def _running(place: Place | None) -> Reply | None:
    """Return what a running proxy says of itself, None where none answers."""
    if place is None:
        return None
    try:
        async with reaching(place, answer_s=_ANSWER_S) as proxy:
            if (await proxy.get("/livez")).body.strip() != b"ok":
                return None
            return await proxy.get("/readyz?verbose")
    except CommandError:
        return None


def _check_rule(running: Reply | None) -> Finding:
    """Say whether a running proxy finds that pluto-api still samples by the rule that answers are computed with."""
    if running is None:
        return Finding(
            check="rule", state=State.SKIPPED, text="no running proxy can tell whether pluto-api's sampling has changed"
        )
    if running.status not in {200, 503}:
        return Finding(check="rule", state=State.SKIPPED, text=told(running))
    series = running.document().get("series")
    if not isinstance(series, dict):
        return Finding(check="rule", state=State.SKIPPED, text="the running proxy doesn't say")
    checks = f"{series.get('checks_passed')} checks passed, {series.get('checks_failed')} failed"
    if series.get("trusted"):
        return fine("rule", f"pluto-api samples by the rule that is computed with ({checks})")
    todo = "answers stay right, and cost more calls; look for series.rule_broken in the log, and for a newer pluto-proxy"
    text = f"pluto-api samples by another rule: nothing is computed ({checks})"
    return Finding(check="rule", state=State.ADVICE, text=text, todo=todo)
