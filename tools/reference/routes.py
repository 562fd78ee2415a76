"""Every route: the rows of the read API, and what the proxy answers itself, as `/openapi.json` has them."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proxy.core.question.keeping import Keeping
from proxy.core.question.route import Route
from proxy.core.question.routes import ROUTES
from proxy.web.pages.openapi import document
from tools.reference.docstrings import of_attributes
from tools.reference.markdown import code, page, table

_INTRODUCTION = """
The proxy answers these for GET and HEAD, exactly as they are written here. Anything else is refused, and never reaches
pluto-api. `/openapi.json` of a running proxy has the same for programs.
[What can be asked](answers.md#what-can-be-asked) says more.
"""
_OWN = """
Where the proxy has no [tokens](../how-to/access.md#tokens), none is needed anywhere, and `/admin/` answers this machine alone.
`/` is the [page](../how-to/page.md). What it loads lies below `/page/`.
"""


def routes_page() -> str:
    """Return the page about the routes."""
    paths: Mapping[str, Mapping[str, Any]] = msgspec.json.decode(document(ROUTES, tokens=True))["paths"]
    parts = [
        _INTRODUCTION,
        "## The read API",
    ]
    for route in ROUTES:
        operation = paths[route.path]["get"]
        parts += [f"### {route.name}", f"`GET {route.path}`", f"{operation['summary']}.", _keeping(route)]
        parts.append(_parameters(operation["parameters"]))
    parts += [
        "## What the proxy answers itself",
        table(
            ("path", "what it says", "token"),
            [
                (code(f"{method.upper()} {path}"), operation["summary"], _token(path, operation))
                for path, method, operation in _own(paths)
            ],
        ),
        _OWN,
    ]
    for path, _, operation in _own(paths):
        if "parameters" in operation:
            parts += [f"### {operation['operationId']}", f"`GET {path}`", _parameters(operation["parameters"])]
    return page("Routes", "`proxy/core/question/routes.py` and `proxy/web/pages/openapi.py`", *parts)


def _own(paths: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    rows = {route.path for route in ROUTES}
    return ((path, method, operation) for path, told in paths.items() if path not in rows for method, operation in told.items())


def _token(path: str, operation: Mapping[str, Any]) -> str:
    if path.startswith("/admin/"):
        return "one with `--admin`"
    match operation.get("security"):
        case []:
            return "none"
        case None if path == "/metrics":
            return "one without `--project`"
        case None:
            return "any"
        case _:
            return "none; with a query one without `--project`"


def _keeping(route: Route) -> str:
    lifetime = "`freshness.running_s`" if route.fresh_s is None else f"{route.fresh_s:g} s"
    kept = of_attributes(Keeping)[route.keeping.name].rstrip(".")
    oldest = "" if math.isinf(route.max_age_s) else f"- No answer is older than {route.max_age_s:,.0f} s.\n"
    note = f" {route.fresh_note}" if route.fresh_note else ""
    moving = [code(parameter.name) for parameter in route.parameters if parameter.moving is not None]
    moment = f"- Queries that name a moment in {', '.join(moving)} live for `lifetimes.moving_s` at most.\n" if moving else ""
    return f"- Lifetime: {lifetime} (`lifetimes.{route.name}_s`).{note}\n{oldest}{moment}- Kept: {kept[0].lower()}{kept[1:]}."


def _parameters(parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = [
        (code(one["name"]), _values(one["schema"]), _default(one), "in the path" if one["in"] == "path" else "")
        for one in parameters
    ]
    return table(("parameter", "values", "default", ""), rows) if rows else "It has no parameters."


def _default(parameter: Mapping[str, Any]) -> str:
    if parameter["required"]:
        return "must be given"
    return code(str(parameter["schema"]["default"])) if "default" in parameter["schema"] else "none"


def _values(schema: Mapping[str, Any]) -> str:
    if schema.get("type") == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        times = f"{least} to {most} times" if most is not None else "any number of times"
        return f"{_values(schema.get('items', {}))}, given {times}"
    if "enum" in schema:
        return "one of " + ", ".join(code(str(word)) for word in schema["enum"])
    kind = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true`"}.get(
        str(schema.get("type", "")), "anything"
    )
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = [f"from {least:,}" if least is not None else "", f"to {most:,}" if most is not None else ""]
    told = " ".join([kind, *filter(None, bounds)])
    if "exclusiveMaximum" in schema:
        told += f", below {schema['exclusiveMaximum']:g}"
    return told + (f": {schema['description']}" if "description" in schema else "")
