"""Reading a TOML file and the environment into one Config. All faults are reported at once.

The environment wins over the file. The variable `PLUTO_PROXY_<SECTION>__<KEY>` sets a key. Its value is read by the key's type;
the items of a list are separated by commas. PLUTO_PROXY_LISTEN, PLUTO_PROXY_UPSTREAM and PLUTO_PROXY_CACHE are short names of
three of these variables.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from proxy.config.addresses import read_address
from proxy.config.forward import PROXY_VARIABLES
from proxy.config.homes import expand_home
from proxy.config.model import AccessSettings, Config
from proxy.core.access.key import QUOTES, read_key
from proxy.errors import ConfigError

PREFIX = "PLUTO_PROXY_"
SHORT = {
    "PLUTO_PROXY_LISTEN": ("server", "listen"),
    "PLUTO_PROXY_UPSTREAM": ("upstream", "url"),
    "PLUTO_PROXY_CACHE": ("cache", "path"),
}
# Where commands find a running proxy, and what they send to it: no settings of a proxy.
URL_VARIABLE, TOKEN_VARIABLE = "PLUTO_PROXY_URL", "PLUTO_PROXY_TOKEN"
# Kubernetes sets these variables in every container if there is a Service whose name begins with pluto-proxy.
_SERVICE_LINK = re.compile(r"PLUTO_PROXY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SECTIONS = Config.model_fields
# The settings with a path that may begin with `~`, and the variable that sets each.
_HOME_FILES = {
    ("cache", "path"): "PLUTO_PROXY_CACHE",
    ("access", "tokens_file"): "PLUTO_PROXY_ACCESS__TOKENS_FILE",
    ("server", "tls_cert"): "PLUTO_PROXY_SERVER__TLS_CERT",
    ("server", "tls_key"): "PLUTO_PROXY_SERVER__TLS_KEY",
    ("upstream", "ca_file"): "PLUTO_PROXY_UPSTREAM__CA_FILE",
}
# What says who may ask (`AccessSettings.says_who`), and what to do where nothing does.
_WHO = ("open", "tokens_file", "networks")
WHO_ADVICE = "set access.tokens_file or access.networks to say who may, or access.open = true if everybody may"
_QUOTED = "has quotation marks around its value, which are part of it (docker's --env-file keeps them); leave them out"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """Where the shared key comes from: the environment (`value`) or a file (`path`). Exactly one is set."""

    value: str | None = field(default=None, repr=False)
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A valid configuration.

    `sources` says where each key was set that is not a default: a file's path or a variable's name. `key` is the shared key's
    source, None if there is none. `ignored` are variables that set a proxy for other programs, if upstream.proxy is not set.
    """

    config: Config
    sources: Mapping[tuple[str, str], str]
    key: KeySource | None
    ignored: tuple[str, ...] = ()


def load(path: Path | None, environ: Mapping[str, str]) -> LoadedConfig:
    """Read the configuration. Raises ConfigError with all faults; each names its key or variable."""
    faults: list[str] = []
    values, sources = _read_file(path, faults)
    _read_environment(environ, values, sources, faults)
    config = _validate(values, sources, faults)
    _check_exposure(values, sources, faults)
    _check_homes(values, environ, sources, faults)
    key = _key_source(environ, faults)
    if faults or config is None:
        raise ConfigError(faults)
    ignored = _proxy_variables(environ) if config.upstream.proxy is None else ()
    return LoadedConfig(config=_with_homes(config, environ), sources=sources, key=key, ignored=ignored)


_Values = dict[str, dict[str, Any]]
_Sources = dict[tuple[str, str], str]


def _read_file(path: Path | None, faults: list[str]) -> tuple[_Values, _Sources]:
    if path is None:
        return {}, {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        faults.append(f"{path}: cannot be read: {exc.strerror}")
        return {}, {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        faults.append(f"{path}: not valid TOML: {exc}")
        return {}, {}
    except RecursionError:
        faults.append(f"{path}: not usable TOML: nested too deeply")
        return {}, {}
    values: _Values = {}
    for section, content in document.items():
        if isinstance(content, dict):
            values[section] = dict(content)
        elif section in _SECTIONS:
            faults.append(f"{section}: must be a section, [{section}]{_from(str(path))}")
        else:
            faults.append(f"{section}: unknown key outside of a section{_from(str(path))}")
    return values, {(section, key): str(path) for section, content in values.items() for key in content}


def _read_environment(environ: Mapping[str, str], values: _Values, sources: _Sources, faults: list[str]) -> None:
    for name in sorted(environ):
        text = environ[name].strip()
        if not name.startswith(PREFIX) or name in {URL_VARIABLE, TOKEN_VARIABLE} or _is_service_link(name, text):
            continue
        section, key = SHORT.get(name) or _section_and_key(name)
        if section not in _SECTIONS or key not in _keys(section):
            faults.append(f"{name}: no such key; variables are called {PREFIX}<SECTION>__<KEY>")
            continue
        if sources.get((section, key), "").startswith(PREFIX):
            faults.append(f"{name}: sets {section}.{key}, as {sources[section, key]} does; keep one of them")
            continue
        if text.startswith(QUOTES) or text.endswith(QUOTES):
            faults.append(f"{name}: {_QUOTED}")
            text = text.strip("".join(QUOTES))
        values.setdefault(section, {})[key] = _from_text(section, key, text)
        sources[section, key] = name


def _is_service_link(name: str, text: str) -> bool:
    """Tell whether Kubernetes set a variable for a Service, so that it sets nothing here.

    The variables of this program have `__` in their names, or are among the short names. A `..._PORT` without an address in it
    does not come from Kubernetes: somebody guessed a name, which is a fault.
    """
    linked = _SERVICE_LINK.fullmatch(name) is not None or (name.endswith("_PORT") and "://" in text)
    return linked and "__" not in name


def _section_and_key(name: str) -> tuple[str, str]:
    section, _, key = name.removeprefix(PREFIX).lower().partition("__")
    return section, key


def _keys(section: str) -> Mapping[str, Any]:
    model = _SECTIONS[section].annotation
    return model.model_fields if model is not None else {}


def _from_text(section: str, key: str, text: str) -> object:
    if isinstance(_keys(section)[key].default, tuple):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _validate(values: _Values, sources: _Sources, faults: list[str]) -> Config | None:
    try:
        return Config.model_validate(values)
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_context=False):
            location = error["loc"]
            source = _source_of(location, sources)
            path = ".".join(map(str, location))
            message = "unknown key" if error["type"] == "extra_forbidden" else error["msg"].removeprefix("Value error, ")
            faults.append(f"{path}: {message}{_from(source)}")
        return None


def _source_of(location: tuple[int | str, ...], sources: _Sources) -> str:
    """Return where a key was set. For a fault of a whole section, return where the section's keys were set."""
    if len(location) > 1:
        return sources.get((str(location[0]), str(location[1])), "")
    named = {source for (section, _), source in sources.items() if section == str(location[0])}
    return ", ".join(sorted(named))


def _check_exposure(values: _Values, sources: _Sources, faults: list[str]) -> None:
    """Report addresses to listen on that others can reach, unless the operator said who may ask, or that everybody may.

    This reads the raw values, so that it is reported even if other values are faulty.
    """
    listen = values.get("server", {}).get("listen", Config().server.listen)
    if _says_who(values.get("access", {})):
        return
    texts = [listen] if isinstance(listen, str) else listen if isinstance(listen, list | tuple) else ()
    faults += [
        f"server.listen: {text} can be reached by others, who would read everything that the shared key can; "
        f"listen on 127.0.0.1, {WHO_ADVICE}{_from(sources.get(('server', 'listen'), ''))}"
        for text in texts
        if _is_reachable(str(text))
    ]


def _says_who(access: Mapping[str, Any]) -> bool:
    try:
        return AccessSettings.model_validate({key: access[key] for key in _WHO if key in access}).says_who
    except ValidationError:
        return True  # something is said, which is a fault anyhow


def _is_reachable(text: str) -> bool:
    try:
        return not read_address(text).is_local
    except ValueError:
        return False  # it is a fault anyhow


def _check_homes(values: _Values, environ: Mapping[str, str], sources: _Sources, faults: list[str]) -> None:
    """Report paths in a home directory that does not exist. This reads the raw values too."""
    for (section, key), variable in _HOME_FILES.items():
        value = values.get(section, {}).get(key, getattr(getattr(Config(), section), key))
        if isinstance(value, str | Path) and "\0" not in str(value):
            try:
                expand_home(Path(value), environ, variable=variable)
            except ValueError as exc:
                faults.append(f"{section}.{key}: {exc}{_from(sources.get((section, key), ''))}")


def _key_source(environ: Mapping[str, str], faults: list[str]) -> KeySource | None:
    value, path = environ.get("PLUTO_API_KEY", "").strip(), environ.get("PLUTO_API_KEY_FILE", "").strip()
    if value and path:
        faults.append("PLUTO_API_KEY: set together with PLUTO_API_KEY_FILE; keep one of them")
    elif path.startswith(QUOTES) or path.endswith(QUOTES):
        faults.append(f"PLUTO_API_KEY_FILE: {_QUOTED}")
    else:
        try:
            if value:
                return KeySource(value=read_key(value))
            if path:
                return KeySource(path=expand_home(Path(path), environ, variable="PLUTO_API_KEY_FILE"))
        except ValueError as exc:
            faults.append(f"{'PLUTO_API_KEY' if value else 'PLUTO_API_KEY_FILE'}: {exc}")
    return None


def _proxy_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(name for upper in PROXY_VARIABLES for name in (upper, upper.lower()) if environ.get(name, "").strip())


def _from(source: str) -> str:
    return f" (set in {source})" if source else ""


def _with_homes(config: Config, environ: Mapping[str, str]) -> Config:
    for (section, key), variable in _HOME_FILES.items():
        part = getattr(config, section)
        if (path := getattr(part, key)) is not None:
            part = part.model_copy(update={key: expand_home(path, environ, variable=variable)})
            config = config.model_copy(update={section: part})
    return config
