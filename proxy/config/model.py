"""Every setting with its type, unit, range and default, and below it what it means.

`make reference` writes docs/reference/configuration.md and config/pluto-proxy.toml from this.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, create_model, model_validator

from proxy.config.addresses import Address, read_addresses
from proxy.config.forward import ForwardProxy, read_proxy
from proxy.config.values import (
    Addresses,
    FilePath,
    Host,
    Label,
    LimitStatus,
    Network,
    Origin,
    ParameterName,
    PositiveSeconds,
    Seconds,
    SocketMode,
    TrustedProxy,
    UpstreamUrl,
)
from proxy.core.question.routes import ROUTES


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(_Section):
    """Where clients reach the proxy."""

    listen: Addresses = ("127.0.0.1:8787",)
    """The address that clients connect to, or a list of them: ["127.0.0.1:8787", "[::1]:8787",
    "unix:/run/pluto-proxy/proxy.sock"]. "0.0.0.0:8787" is every IPv4 address, "[::]:8787" every address of IPv6 and IPv4.
    Anything but loopback addresses and Unix sockets needs access.tokens_file, access.networks or access.open = true. All
    addresses are opened, or the proxy doesn't start.
    """
    socket_mode: SocketMode = "0660"
    """The mode of Unix sockets' files: who may write to one may connect. "0660": this user, and its group."""
    tls_cert: FilePath | None = Field(default=None, examples=["/etc/pluto-proxy/tls.crt"])
    """A file with a certificate, and those of its issuers, in PEM form. Set, with tls_key: every address but Unix sockets is
    HTTPS (TLS 1.2 or later). Both are read again when they change.
    """
    tls_key: FilePath | None = Field(default=None, examples=["/etc/pluto-proxy/tls.key"])
    """The file with the certificate's private key, in PEM form, without a passphrase. It may be the same file."""
    allowed_hosts: tuple[Host, ...] = ()
    """The host names that clients use to reach the proxy, beside loopback names. A request with any other Host gets 421, so
    that no web page can reach the proxy through a name of its own (DNS rebinding).
    """
    idle_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 75.0
    """A connection is closed after so many seconds in which no request was received in full, or nothing of a response was read.
    """
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    """Connections at once, in all. Connections beyond that are closed as soon as they are made."""
    max_connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    """Connections at once from one address (a reverse proxy is one address, too) or from one IPv6 network (/64)."""
    cors_origins: tuple[Origin, ...] = ()
    """Origins of web pages that may read answers in a browser, such as "https://grafana.example.com" (CORS)."""

    @model_validator(mode="after")
    def _check_tls(self) -> "ServerSettings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both, or neither (they may be one file)")
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses in `listen`."""
        return read_addresses(self.listen)

    @property
    def socket_permissions(self) -> int:
        """`socket_mode` as a number."""
        return int(self.socket_mode, 8)

    @property
    def scheme(self) -> str:
        """How clients reach all addresses but Unix sockets: `http` or `https`."""
        return "http" if self.tls_cert is None else "https"


class AccessSettings(_Section):
    """Who may ask."""

    open: bool = False
    """true: whoever can connect may read everything that the shared key can read. Excludes tokens_file and networks."""
    tokens_file: FilePath | None = Field(default=None, examples=["~/.config/pluto-proxy/tokens.json"])
    """The file with the tokens that clients must send. `pluto-proxy token add NAME` makes it. Not set: clients need no token.
    """
    networks: tuple[Network, ...] = ()
    """Only clients from these networks are answered, such as ["10.0.0.0/8", "fd00::/8", "127.0.0.1"], even with a valid token.
    Loopback is no exception. "unix" stands for whoever connects to a Unix socket. Empty: clients may come from anywhere.
    """
    trusted_proxies: tuple[TrustedProxy, ...] = ()
    """Networks of the reverse proxies whose X-Forwarded-For is trusted; "unix" are those that connect to a Unix socket. From
    all others X-Forwarded-For is ignored.
    """
    client_rate_per_s: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(default=None, examples=[50.0])
    """Requests a second of one client (a token, or an address where no token is needed). Requests beyond that wait for
    upstream.deadline_s at most, and are then refused. Not set: no limit.
    """
    client_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """How many requests a client may make without a pause, after a quiet time."""
    client_concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = Field(default=None, examples=[64])
    """Requests of one client that are answered at the same time. Hits that need no work don't count. Not set: no limit."""
    client_limit_status: LimitStatus = 503
    """The status of a refusal by these limits: 503 or 429. pluto-ml gives up on a 429."""

    @model_validator(mode="after")
    def _check_open(self) -> "AccessSettings":
        if self.open and (self.tokens_file is not None or self.networks):
            raise ValueError("open = true lets everybody in, tokens_file and networks say who may come; keep one of them")
        return self

    @property
    def says_who(self) -> bool:
        """Whether it is said who may ask, or that everybody may. Otherwise others must not reach the proxy."""
        return self.open or self.tokens_file is not None or bool(self.networks)


class UpstreamSettings(_Section):
    """How pluto-api is reached, and how much it is asked."""

    url: UpstreamUrl = "https://pluto-api.trainy.ai"
    """Where pluto-api is. Entries of the cache belong to this address."""
    offline: bool = False
    """true: pluto-api is never asked. What is stored is served however old it is, and marked as stale. No key is needed then:
    the organization whose answers the cache file has is served, or that of the key if there are several. `serve --offline` sets
    it.
    """
    deadline_s: PositiveSeconds = 25.0
    """Seconds for a complete answer. Keep it below the Python client's own 30."""
    connect_timeout_s: PositiveSeconds = 5.0
    """Seconds for looking up the address, and again for connecting, TLS included."""
    stall_s: PositiveSeconds = 5.0
    """A call fails if less than 4 kB of its body are received in so many seconds and the body has not ended. Bytes count as
    they come over the connection, compressed. Until the response's head is there, only deadline_s counts. At most deadline_s.
    """
    cooldown_max_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """After a 429 or 503 the upstream is left alone for so many seconds at most, even if it asks for more."""
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Calls a second. After a 429 the proxy finds a lower rate by itself."""
    burst: Annotated[int, Field(ge=1, le=100_000)] = 20
    """How many calls may follow each other without a pause."""
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 8
    """Calls at once."""
    max_connections: Annotated[int, Field(ge=1, le=10_000)] = 32
    """Connections at once. More than max_concurrency has no effect."""
    connection_max_age_s: PositiveSeconds = 300.0
    """A connection is not used for longer than so many seconds, so that a changed address of the upstream is noticed."""
    proxy: Annotated[ForwardProxy | None, BeforeValidator(read_proxy)] = Field(
        default=None, examples=["http://proxy.example.com:3128"]
    )
    """The HTTP proxy that leads to the upstream, as http://[USER:PASSWORD@]HOST:PORT, with special characters percent-encoded.
    HTTPS_PROXY, HTTP_PROXY and ALL_PROXY are not read. Better set a password in the environment: PLUTO_PROXY_UPSTREAM__PROXY.
    """
    ca_file: FilePath | None = Field(default=None, examples=["/etc/ssl/certs/company.pem"])
    """A file with the certificates (PEM) of the authorities that may certify the upstream, such as a company's own. It replaces
    the system's certificates and SSL_CERT_FILE, which count if this is not set. It is read at the start.
    """
    max_body_bytes: Annotated[ByteSize, Field(ge=1, le=2**32)] = ByteSize(64 * 2**20)
    """A larger answer is refused with 502."""
    extra_params: tuple[ParameterName, ...] = ()
    """Parameters that the proxy doesn't know and forwards as they are. Their values are part of the query."""
    ignored_params: tuple[ParameterName, ...] = ("_", "t", "cb")
    """Parameters that are dropped without a warning: browsers and scripts add them to get around caches."""

    @model_validator(mode="after")
    def _check_parameters(self) -> "UpstreamSettings":
        if both := sorted(set(self.extra_params) & set(self.ignored_params)):
            raise ValueError(f"extra_params and ignored_params both name {', '.join(both)}")
        return self

    @model_validator(mode="after")
    def _check_stall(self) -> "UpstreamSettings":
        # The default may be longer than a short deadline: then the deadline ends the call first.
        if "stall_s" in self.model_fields_set and self.stall_s > self.deadline_s:
            raise ValueError(f"stall_s must be at most deadline_s ({self.deadline_s:g}): no call takes longer than that")
        return self


class CacheSettings(_Section):
    """Which answers are stored, and where."""

    path: FilePath = Path("~/.cache/pluto-proxy/cache.sqlite")
    """The SQLite file. It gets mode 0600. If the proxy makes its directory, that gets mode 0700."""
    max_bytes: Annotated[ByteSize, Field(ge=2**20)] = ByteSize(2**30)
    """The size of the file with its write-ahead log. A quarter of it is for the log, 96 MiB at most."""
    memory_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * 2**20)
    """The size of the answers in memory, an eighth of it for those that are ready to be sent; 0 keeps none there."""
    max_object_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(32 * 2**20)
    """A larger answer is passed on and not stored."""
    label: Label = ""
    """Keeps the entries of several proxies or teams on one upstream apart: at most 64 letters, digits, dots, dashes,
    underscores.
    """


class FreshnessSettings(_Section):
    """How old an answer may be."""

    running_s: Seconds = 5.0
    """An answer is fresh for so many seconds: it is served without asking the upstream. Its age counts from when the upstream
    was asked.
    """
    stale_while_revalidate_s: Seconds = 5.0
    """For so many seconds after that it is still served at once, while one request in the background fetches a newer one."""
    stale_if_error_s: Seconds = 3600.0
    """If the upstream fails, a stored answer is served until so many seconds after its lifetime; 0 is never."""
    negative_s: Seconds = 5.0
    """For so many seconds the proxy remembers a 4xx of the upstream, and that the upstream failed to answer a query."""
    stale_wait_s: Seconds = 1.0
    """A client that can be given a stale answer waits so many seconds for a newer one."""
    client_floor_s: Seconds | None = Field(default=None, examples=[5.0])
    """A request's no-cache or max-age cannot demand anything younger than this many seconds. Not set: as running_s."""
    status_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    """The proxy asks again which of a project's runs are running after so many seconds, if a client looks at one of them.
    Without an answer for twice as long, every run counts as running.
    """
    settling_s: Seconds = 300.0
    """A run's answers live as those of a running run until so many seconds after it ended, after its record was last written,
    or after its rows were last seen to change: late rows come in. After that they live for 300 seconds, and later for a tenth
    of the time since then, but at first no longer than eleven times as long as they were seen to stand still.
    """
    settling_failed_s: Seconds = 1800.0
    """The same for FAILED, which pluto-api also says of runs that have merely been quiet."""
    ended_max_s: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    """The longest lifetime of an ended run's answers in seconds, up to 86400 (a day): rows may come late, and runs be resumed,
    at any time.
    """
    stale_if_error_ended_s: Seconds = 86_400.0
    """stale_if_error_s for the answers of runs that have ended."""


class SeriesSettings(_Section):
    """How metric queries are answered from the answers to other queries."""

    enabled: bool = True
    """true: one complete answer about a run's series serves every panel, zoom and limit that it covers, exactly. Queries are
    sent upstream wide enough for that. false: every query is sent as it came, and every answer is kept as it came.
    """
    max_fetch_rows: Annotated[int, Field(ge=1, le=10**7)] = 50_000
    """A run is queried as a whole if it is thought to have no more rows than this. An answer that has more rows is given up."""
    max_fetch_bytes: Annotated[ByteSize, Field(ge=1, le=2**32)] = ByteSize(16 * 2**20)
    """The answer to a widened query is given up at this size, and the query is sent as it came."""
    max_rows: Annotated[int, Field(ge=1, le=10**7)] = 2_000_000
    """A series that one answer cannot hold is loaded once that pays, if it has no more rows than this."""
    memory_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * 2**20)
    """The size of the series in memory that answers are computed from."""
    call_cost_rows: Annotated[int, Field(ge=0, le=10**7)] = 2_000
    """New rows of a running run are fetched by as few calls as is worth it: one call counts as so many rows."""
    overlap_s: Seconds = 60.0
    """Rows become visible out of order. With the new rows, those of the last so many seconds are fetched again."""
    rewrite_check_s: Seconds = 300.0
    """The older rows of a running run are fetched again after so many seconds: rows may be rewritten, or come late."""
    shadow_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0
    """While answers are computed, one is compared with pluto-api's own every so many seconds; 0: never."""


class _LifetimeSettings(_Section):
    moving_s: Seconds = 2.0
    """The longest lifetime for queries that name a moment (the list's filters by date and heartbeat). Only the last 256 are
    kept.
    """


# One setting for each route of the read API, made from the table of routes.
LifetimeSettings = create_model(
    "LifetimeSettings",
    __base__=_LifetimeSettings,
    __doc__="Freshness lifetimes of the routes, and `moving_s` for queries that name a point in time; None: as running_s.",
    **{f"{route.name}_s": (Seconds | None, route.fresh_s) for route in ROUTES},  # type: ignore[call-overload]  # mypy wants to see the keys
)


class LogSettings(_Section):
    """What is logged to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged: lines of this level and above."""
    format: Literal["auto", "json", "console"] = "auto"
    """json, console, or auto: console on a terminal, JSON lines elsewhere."""


class Config(_Section):
    """The effective configuration. `upstream.proxy` may hold a password. The shared key is not in here but in a KeySource."""

    server: ServerSettings = ServerSettings()
    access: AccessSettings = AccessSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    cache: CacheSettings = CacheSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    lifetimes: LifetimeSettings = LifetimeSettings()
    series: SeriesSettings = SeriesSettings()
    log: LogSettings = LogSettings()
