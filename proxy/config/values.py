"""The values that settings have: their types, with what is checked and put into one form when they are read.

Each reader raises ValueError with the sentence that the operator gets after the setting's name.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from proxy.config.addresses import read_addresses
from proxy.core.access.key import QUOTES
from proxy.core.access.networks import UNIX, read_network
from proxy.core.question.routes import ROUTES

_KNOWN_PARAMETERS = frozenset(parameter.name for route in ROUTES for parameter in route.parameters)
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
    if text in _KNOWN_PARAMETERS:
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


Seconds = Annotated[float, Field(ge=0, le=366 * 86_400)]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400)]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_listed), AfterValidator(_listen)]
"""One address or several, each as `config.addresses` reads it."""
SocketMode = Annotated[str, AfterValidator(_mode)]
FilePath = Annotated[Path, AfterValidator(_file_path)]
Host = Annotated[str, AfterValidator(_host)]
Origin = Annotated[str, AfterValidator(_origin)]
Network = Annotated[str, AfterValidator(_network)]
TrustedProxy = Annotated[str, AfterValidator(_trusted_proxy)]
LimitStatus = Annotated[int, AfterValidator(_limit_status)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url)]
Label = Annotated[str, AfterValidator(_label)]
ParameterName = Annotated[str, AfterValidator(_parameter_name)]
