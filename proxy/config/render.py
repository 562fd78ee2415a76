"""The effective configuration for `pluto-proxy check`, as TOML or for programs: each value and where it was set.

Secrets are shown as ***.
"""

import json
from pathlib import Path

from proxy.config.forward import ForwardProxy
from proxy.config.load import KeySource, LoadedConfig


def render(loaded: LoadedConfig) -> str:
    """Return the configuration as a TOML document. A comment names the source of every value that is not the default."""
    lines = [_key_line(loaded.key)]
    lines += [f"# {name} is ignored; set upstream.proxy" for name in loaded.ignored]
    for section in type(loaded.config).model_fields:
        lines += ["", f"[{section}]"]
        for key, value in getattr(loaded.config, section):
            source = loaded.sources.get((section, key))
            shown = f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
            lines.append(shown + (f"  # {source}" if source else ""))
    return "\n".join(lines) + "\n"


def as_document(loaded: LoadedConfig) -> dict[str, object]:
    """Return the same for programs: each setting's value, and the sources of those that are not defaults."""
    values = {
        section: {key: _plain(value) for key, value in getattr(loaded.config, section)}
        for section in type(loaded.config).model_fields
    }
    sources = {f"{section}.{key}": source for (section, key), source in loaded.sources.items()}
    return {"key": None if loaded.key is None else "***", "settings": values, "sources": sources, "ignored": [*loaded.ignored]}


def _key_line(key: KeySource | None) -> str:
    if key is None:
        return "# shared key: not set; `serve` needs PLUTO_API_KEY or PLUTO_API_KEY_FILE"
    return "# shared key: *** from " + ("PLUTO_API_KEY" if key.path is None else f"PLUTO_API_KEY_FILE ({key.path})")


def _toml(value: object) -> str:
    # JSON's strings, numbers, booleans and arrays are valid TOML.
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path | ForwardProxy) else value
