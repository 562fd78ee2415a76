"""Every setting with its type, unit, range and default. `config/pluto-proxy.toml` explains them."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, create_model, model_validator

from proxy.config.addresses import Address, read_addresses
from proxy.config.forward import ForwardProxy, read_proxy
from proxy.core.access.key import QUOTES
from proxy.core.access.networks import UNIX, read_network
from proxy.core.question.routes import ROUTES

Seconds = Annotated[float, Field(ge=0, le=366 * 86_400)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1)]
KNOWN_PARAMETERS = frozenset(parameter.name for route in ROUTES for parameter in route.parameters)
_LABEL = re.compile(r"[A-Za-z0-9._-]{0,64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_LABEL = 63
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ORIGIN_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_MODE = re.compile(r"0?[0-7]{3}")
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?")


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _listen(texts: tuple[str, ...]) -> tuple[str, ...]:
    read_addresses(texts)
    return texts


def _mode(text: str) -> str:
    if not _MODE.fullmatch(text):
        raise ValueError(f'{text!r} must be three octal digits in quotation marks, such as "0660"')
    return text


def _upstream_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # The library's message quotes what it takes for the port, which may be a part of a password.
        raise ValueError("is not a URL: its port is not a number up to 65535, or its brackets hold no address") from None
    if any(not "\x21" <= character <= "\x7e" or character in '<>"\\^`{|}%' for character in text):
        raise ValueError("must hold no spaces, percent signs, non-ASCII or other characters that a base URL cannot have")
    if any(not 0 < len(label) <= _LONGEST_LABEL for label in (parts.hostname or "x").removesuffix(".").split(".")):
        raise ValueError("has a host name with an empty label or one of more than 63 characters")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a base URL such as https://pluto-api.trainy.ai")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("must hold neither a user name, a password, a query nor a fragment")
    return text.rstrip("/")


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("must be at most 64 letters, digits, dots, dashes or underscores")
    return text


def _file_path(path: Path) -> Path:
    text = str(path)
    if "\0" in text or path.name in {"", ".."} or path.is_dir():
        raise ValueError("must name a file")
    if text != text.strip() or text.startswith(QUOTES) or text.endswith(QUOTES) or _CONTROL.search(text):
        raise ValueError("must name a file, without quotation marks or white space around it, and without line ends in it")
    return path


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r} must be a host name or address alone, without a scheme or port")
    return text.lower().strip("[]")


def _origin(text: str) -> str:
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"{text!r} is not an origin: {exc}") from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or text != text.strip() or parts.geturl() != text:
        raise ValueError(f"{text!r} must be an origin such as https://grafana.example.com, each one named: no * and no null")
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        raise ValueError(f"{text!r} must be an origin alone: scheme, host and port, without a path")
    # As browsers send it: in lower case, an address in its shortest form, without the scheme's default port.
    host = parts.hostname
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host)}]"
    elif not _ORIGIN_HOST.fullmatch(host):
        raise ValueError(f"{text!r} must name one host, as browsers write it: no *, and names of other scripts as xn--...")
    return f"{parts.scheme}://{host}" + ("" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}")


def _parameter_name(text: str) -> str:
    if text in KNOWN_PARAMETERS:
        raise ValueError(f"{text!r} is a parameter that the proxy reads itself")
    if not text or text != text.strip() or any(character in text for character in QUOTES) or _CONTROL.search(text):
        raise ValueError(f"{text!r} is no parameter's name; quotation marks and white space are none of it")
    return text


def _network(text: str) -> str:
    return text if text == UNIX else str(read_network(text))


def _trusted_proxy(text: str) -> str:
    if text == UNIX:
        return text
    network = read_network(text)
    if not network.prefixlen:
        raise ValueError(f"{text!r} is every address: any client could claim to be another one; name the proxies' networks")
    return str(network)


def _limit_status(status: int) -> int:
    if status not in {429, 503}:
        raise ValueError("must be 503 or 429")
    return status


ParameterName = Annotated[str, AfterValidator(_parameter_name)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSettings(_Section):
    """Where clients reach the proxy."""

    listen: Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_listen)] = ("127.0.0.1:8787",)
    socket_mode: Annotated[str, AfterValidator(_mode)] = "0660"
    tls_cert: Annotated[Path, AfterValidator(_file_path)] | None = None
    tls_key: Annotated[Path, AfterValidator(_file_path)] | None = None
    allowed_hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    idle_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 75.0
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 4_096
    max_connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 1_024
    cors_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()

    @model_validator(mode="after")
    def _check_tls(self) -> "ServerSettings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together: set both, or neither (they may be one file)")
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses in `listen`."""
        return read_addresses(self.listen)


class AccessSettings(_Section):
    """Who may ask."""

    open: bool = False
    tokens_file: Annotated[Path, AfterValidator(_file_path)] | None = None
    networks: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    trusted_proxies: tuple[Annotated[str, AfterValidator(_trusted_proxy)], ...] = ()
    client_rate_per_s: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    client_burst: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    client_concurrency: Annotated[int, Field(ge=1, le=100_000)] | None = None
    client_limit_status: Annotated[int, AfterValidator(_limit_status)] = 503

    @model_validator(mode="after")
    def _check_open(self) -> "AccessSettings":
        if self.open and (self.tokens_file is not None or self.networks):
            raise ValueError("open = true lets everybody in, tokens_file and networks say who may come; keep one of them")
        return self


class UpstreamSettings(_Section):
    """How pluto-api is reached, and how much it is asked."""

    url: Annotated[str, AfterValidator(_upstream_url)] = "https://pluto-api.trainy.ai"
    offline: bool = False
    deadline_s: PositiveSeconds = 25.0
    connect_timeout_s: PositiveSeconds = 5.0
    stall_s: PositiveSeconds = 5.0
    cooldown_max_s: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    rate_per_s: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    burst: Annotated[int, Field(ge=1, le=100_000)] = 20
    max_concurrency: Annotated[int, Field(ge=1, le=1_000)] = 8
    max_connections: Annotated[int, Field(ge=1, le=10_000)] = 32
    connection_max_age_s: PositiveSeconds = 300.0
    proxy: Annotated[ForwardProxy | None, BeforeValidator(read_proxy)] = None
    ca_file: Annotated[Path, AfterValidator(_file_path)] | None = None
    max_body_bytes: Annotated[ByteSize, Field(ge=1, le=2**32)] = ByteSize(64 * 2**20)
    extra_params: tuple[ParameterName, ...] = ()
    ignored_params: tuple[ParameterName, ...] = ("_", "t", "cb")

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

    path: Annotated[Path, AfterValidator(_file_path)] = Path("~/.cache/pluto-proxy/cache.sqlite")
    max_bytes: Annotated[ByteSize, Field(ge=2**20)] = ByteSize(2**30)
    memory_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * 2**20)
    max_object_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(32 * 2**20)
    label: Annotated[str, AfterValidator(_label)] = ""


class FreshnessSettings(_Section):
    """How old an answer may be."""

    running_s: Seconds = 5.0
    stale_while_revalidate_s: Seconds = 5.0
    stale_if_error_s: Seconds = 3600.0
    negative_s: Seconds = 5.0
    stale_wait_s: Seconds = 1.0
    client_floor_s: Seconds | None = None
    status_s: Annotated[float, Field(ge=1, le=3600)] = 15.0
    settling_s: Seconds = 300.0
    settling_failed_s: Seconds = 1800.0
    ended_max_s: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    stale_if_error_ended_s: Seconds = 86_400.0


class SeriesSettings(_Section):
    """How metric queries are answered from the answers to other queries."""

    enabled: bool = True
    max_fetch_rows: Annotated[int, Field(ge=1, le=10**7)] = 50_000
    max_fetch_bytes: Annotated[ByteSize, Field(ge=1, le=2**32)] = ByteSize(16 * 2**20)
    max_rows: Annotated[int, Field(ge=1, le=10**7)] = 2_000_000
    memory_bytes: Annotated[ByteSize, Field(ge=0)] = ByteSize(256 * 2**20)
    call_cost_rows: Annotated[int, Field(ge=0, le=10**7)] = 2_000
    overlap_s: Seconds = 60.0
    rewrite_check_s: Seconds = 300.0
    shadow_s: Annotated[float, Field(ge=0, le=86_400)] = 30.0


class _LifetimeSettings(_Section):
    moving_s: Seconds = 2.0


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
    format: Literal["auto", "json", "console"] = "auto"


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
