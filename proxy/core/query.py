"""A raw query string read into a `Query`: the question that it asks, in one canonical form.

Two raw queries get the same canonical text exactly where the upstream answers both from the same parameters: its spelling of
numbers, its defaults, its empty-is-unset, and no regard to order. The canonical text is what the cache is keyed by and what
the upstream is sent, so that an answer always belongs to the question it is stored under.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote

from proxy.core.form import shown, split_query
from proxy.core.parameters import Parameter
from proxy.core.routes import Route
from proxy.errors import BadQuery, Fault, QueryTooLong

# The upstream answers 431 from about 16 kB of URL on; the rest is room for its host name and the request line.
MAX_TARGET_BYTES = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to the upstream.

    `target` is the canonical path and query, printable ASCII; equal targets are equal questions. `unknown` are the names of
    parameters that were dropped because neither the upstream's documents nor the configuration name them; they are no part
    of the question.
    """

    route: Route
    target: str
    unknown: tuple[str, ...]


def read_query(route: Route, raw: str, *, ignored: Collection[str] = (), extra: Collection[str] = ()) -> Query:
    """Read a raw query string (without the `?`) as the upstream would.

    `ignored` names cache busters, dropped without a word; `extra` names further parameters that are forwarded as they are
    and are part of the question. Raises BadQuery naming every faulty parameter, QueryTooLong for what upstream is too long.
    """
    pairs = split_query(raw)
    canonical = _known(route, pairs)
    canonical += sorted(((name, value) for name, value in pairs if name in extra), key=lambda pair: pair[0])
    target = f"{route.path}?" + "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in canonical)
    if len(target) > MAX_TARGET_BYTES:
        raise QueryTooLong(
            f"the query is longer than the {MAX_TARGET_BYTES} bytes that the upstream accepts; ask for less at once"
        )
    known = {parameter.name for parameter in route.parameters}
    unknown = (name for name, _ in pairs if name not in known and name not in ignored and name not in extra)
    return Query(route=route, target=target, unknown=tuple(dict.fromkeys(unknown)))


def _quoted(text: str) -> str:
    """Percent-encode what has a meaning in a query or may not stand there raw, and nothing else: names are full of slashes."""
    return quote(text, safe="/:@!$'()*,;?")


def _known(route: Route, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    counts = Counter(name for name, _ in pairs)
    texts = dict(pairs)
    faults: list[Fault] = []
    canonical: list[tuple[str, str]] = []
    for parameter in route.parameters:
        try:
            value = _value(parameter, texts, counts[parameter.name])
        except ValueError as exc:
            faults.append(Fault(parameter=shown(parameter.name), message=str(exc)))
        else:
            if value is not None:
                canonical.append((parameter.name, value))
    if faults:
        raise BadQuery(tuple(faults))
    return canonical


def _value(parameter: Parameter, texts: dict[str, str], count: int) -> str | None:
    if count > 1:
        raise ValueError("given more than once")
    if count == 0:
        if parameter.required:
            raise ValueError("required")
        return parameter.default
    return parameter.kind.canonical(texts[parameter.name])
