"""Every setting with what the code says of it: the page about the configuration, and the annotated file."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from proxy.config.load import PREFIX, SHORT
from proxy.config.model import Config
from proxy.core.question.routes import ROUTES
from tools.reference.docstrings import of_attributes, opening
from tools.reference.markdown import code, page

_COLUMNS = 128
_RUNNING = "freshness.running_s"
_HEAD = """
Every value here is the default: keep the lines that you change, delete the rest.

Any key can be set in the environment instead, which wins: PLUTO_PROXY_<SECTION>__<KEY>, such as
PLUTO_PROXY_FRESHNESS__RUNNING_S=10. The items of a list are separated by commas. Three variables have short names as well:
PLUTO_PROXY_LISTEN, PLUTO_PROXY_UPSTREAM and PLUTO_PROXY_CACHE. `pluto-proxy check --config FILE` shows the values in force and
where each was set. SIGHUP has this file read again: docs/how-to/operations.md, "Reload", has the settings that change by that.

The shared key is never in this file. It comes from PLUTO_API_KEY, or from the file that PLUTO_API_KEY_FILE names, which is read
again when it changes. White space around the key or around a variable's value is ignored. Quotation marks are refused.
"""
_INTRODUCTION = """
Each setting is a key of a TOML file (`pluto-proxy serve --config FILE`), and a variable of the environment, which wins.
[`config/pluto-proxy.toml`](../../config/pluto-proxy.toml) has them all as a file to begin with.
[Settings](../how-to/operations.md#settings) says how they are read, and where the shared key comes from.
"""
_UNITS = {"_per_s": "", "_s": "seconds", "_bytes": "bytes, or a text such as `64MiB`", "_rows": "rows"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting.

    `schema` is the JSON Schema of its values, `meaning` what people wrote about it, `example` a value for where the default is
    none.
    """

    section: str
    name: str
    schema: Mapping[str, Any]
    meaning: str
    default: object
    example: object

    @property
    def variables(self) -> list[str]:
        """The variables that set it."""
        short = [name for name, place in SHORT.items() if place == (self.section, self.name)]
        return [f"{PREFIX}{self.section.upper()}__{self.name.upper()}", *short]

    @property
    def kind(self) -> str:
        """What its values are, with their unit and range."""
        said = _kind(self.schema)
        unit = next((text for ending, text in _UNITS.items() if self.name.endswith(ending)), "")
        if said == "number or text":
            said = ""
        return ", ".join(part for part in (f"{said} of {unit}" if said and unit else said or unit, self._range) if part)

    @property
    def _range(self) -> str:
        flat = dict(self.schema)
        for other in self.schema.get("anyOf", ()):
            flat = {"ge": other.get("minimum"), **flat} | {key: value for key, value in other.items() if key != "type"}
        least, above = flat.get("ge", flat.get("minimum")), flat.get("exclusiveMinimum")
        most = flat.get("le", flat.get("maximum"))
        said = [f"more than {_figure(above)}"] if above is not None else []
        said += [f"{_figure(least)} or more"] if least is not None and most is None else []
        said += [f"from {_figure(least)} to {_figure(most)}"] if least is not None and most is not None else []
        said += [f"{_figure(most)} at most"] if least is None and most is not None else []
        return ", ".join(said)


def settings() -> Mapping[str, list[Setting]]:
    """Return all settings by section. Raises KeyError where nobody wrote what one means."""
    schemas = Config.model_json_schema()["$defs"]
    models = {section: _model(section) for section in Config.model_fields}
    return {section: [*_of(section, model, schemas[model.__name__]["properties"])] for section, model in models.items()}


def configuration_page() -> str:
    """Return the page about the configuration."""
    parts = [_INTRODUCTION]
    for section, found in settings().items():
        parts += [f"## {section}", opening(_model(section))]
        for setting in found:
            parts.append(f"### {section}.{setting.name}")
            parts.append(setting.meaning)
            default = "none" if setting.default is None else code(_toml(setting.default))
            variables = " or ".join(map(code, setting.variables))
            parts.append(f"- {_upper(setting.kind)}\n- Default: {default}\n- Variable: {variables}")
    return page("Configuration", "`proxy/config/model.py` and `proxy/core/question/routes.py`", *parts)


def annotated_file() -> str:
    """Return `config/pluto-proxy.toml`."""
    lines = ["# pluto-proxy's configuration, written by `make reference` from proxy/config/model.py."]
    for paragraph in _HEAD.strip().split("\n\n"):
        lines += [*_comment(paragraph), "#"]
    lines.pop()
    for section, found in settings().items():
        lines += ["", f"# {opening(_model(section))}", f"[{section}]"]
        for setting in found:
            lines += _comment(setting.meaning)
            unset = setting.default is None
            lines.append(f"{'# ' if unset else ''}{setting.name} = {_toml(setting.example if unset else setting.default)}")
    return "\n".join(lines) + "\n"


def _of(section: str, model: type[BaseModel], properties: Mapping[str, Any]) -> Iterator[Setting]:
    meanings = {**of_attributes(model), **_of_routes()} if section == "lifetimes" else of_attributes(model)
    for name, field in model.model_fields.items():
        examples = field.examples or [Config().freshness.running_s]
        yield Setting(
            section=section,
            name=name,
            schema=properties[name],
            meaning=meanings[name],
            default=properties[name]["default"],
            example=examples[0],
        )


def _of_routes() -> Mapping[str, str]:
    told = {}
    for route in ROUTES:
        unset = f" Not set: as {_RUNNING}." if route.fresh_s is None else ""
        told[f"{route.name}_s"] = f"The lifetime of answers to {route.path}.{unset} {route.fresh_note}".strip()
    return told


def _model(section: str) -> type[BaseModel]:
    model = Config.model_fields[section].annotation
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise TypeError(section)
    return model


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(code(word) for word in schema["enum"])
    if "anyOf" in schema:
        others = [_kind(one) for one in schema["anyOf"] if one.get("type") != "null"]
        return others[0] if len(set(others)) == 1 else "number or text"
    if schema.get("type") == "array":
        return "a list of texts"
    if schema.get("format") == "path":
        return "the path of a file"
    kinds = {"number": "a number", "integer": "a whole number", "boolean": "`true` or `false`"}
    return kinds.get(schema.get("type", ""), "a text")


def _figure(number: float) -> str:
    return f"{number:,.15g}"


def _toml(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, width=_COLUMNS, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
