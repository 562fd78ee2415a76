"""A raw query string read into a `Query`: the question that it asks, in one canonical form.

Two raw queries get the same canonical text exactly where the upstream reads the same parameters from both: by its rules for
numbers, defaults and empty values, and whatever the order. The cache is keyed by the canonical text, and the upstream is sent
it, so that an answer always belongs to the question that it is stored under.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from proxy.core.question.batch import AskedOrder, BatchInput, Opened
from proxy.core.question.form import read_segment, shown, split_query
from proxy.core.question.keeping import Keeping
from proxy.core.question.parameters import Flag, Parameter
from proxy.core.question.route import Route
from proxy.errors import BadQuery, Fault, QueryTooLong

# The upstream answers 431 to a URL of about 16 kB or more. The rest is room for its host name and the request line.
MAX_TARGET_BYTES = 15_000
# Texts that `_quoted` leaves as they are.
_SAFE = re.compile(r"[A-Za-z0-9_.~/:@!$'()*,;?-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question to the upstream.

    `target`: the canonical path and query, printable ASCII. Equal targets are equal questions.
    `values`: the canonical texts of the route's parameters; those that are unset are left out.
    `forwarded`: (name, value) pairs that only the upstream understands. They are part of the question.
    `unknown`: the names of parameters that were dropped, because neither the upstream's documents nor the configuration name
    them. They are no part of the question.
    `one_off`: the question will hardly be asked again, for example since it names a point in time.
    `organization`: the organization that the client means, None where it names none. It is no part of the question: a key
    reads one organization.
    `order`: the order in which the client wants the answer's keys, None where it is the question's own.
    """

    route: Route
    target: str
    values: Mapping[str, str]
    forwarded: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    one_off: bool = False
    organization: str | None = None
    order: AskedOrder | None = None

    @property
    def keeping(self) -> Keeping:
        """Where the answer may be kept."""
        return Keeping.ONE_OFF if self.one_off else self.route.keeping


def read_query(
    route: Route, raw: str, *, segment: str = "", ignored: Collection[str] = (), extra: Collection[str] = ()
) -> Query:
    """Read a raw query string (without the `?`), and the raw last segment of an open path, as the upstream would.

    `ignored`: names of parameters that are dropped and not reported, such as cache busters. `extra`: names of parameters that
    are forwarded as they are. Raises BadQuery naming every faulty parameter, and QueryTooLong.
    """
    place = "" if route.segment is None else _segment(route.segment, segment)
    pairs = split_query(raw)
    values = _known(route, pairs)
    # Nearly always all of them are the route's own.
    others = [(name, value) for name, value in pairs if name not in route.names]
    unknown = tuple(dict.fromkeys(name for name, _ in others if name not in ignored and name not in extra)) if others else ()
    forwarded = tuple(sorted((pair for pair in pairs if pair[0] in extra), key=lambda pair: pair[0])) if extra else ()
    if route.batch is None:
        return question(route, values, segment=place, forwarded=forwarded, unknown=unknown)
    opened = _opened(route.batch, values)
    query = question(route, opened.values, segment=place, forwarded=forwarded, unknown=unknown + opened.unknown)
    return replace(query, organization=opened.organization, order=opened.order)


def question(
    route: Route,
    values: Mapping[str, str],
    *,
    segment: str = "",
    forwarded: tuple[tuple[str, str], ...] = (),
    unknown: tuple[str, ...] = (),
) -> Query:
    """Return the question of a route with these canonical texts; those left out are unset. Raises QueryTooLong."""
    path = route.path if route.segment is None else route.stem + segment
    # The names of a route's own parameters are plain words.
    named = [f"{name}={_quoted(values[name])}" for name in route.names if name in values]
    asked = "&".join(named + [f"{_quoted(name)}={_quoted(value)}" for name, value in forwarded])
    target = f"{path}?{asked}" if asked else path
    if len(target) > MAX_TARGET_BYTES:
        raise QueryTooLong(
            f"the query is longer than the {MAX_TARGET_BYTES} bytes that the upstream accepts; ask for less at once"
        )
    one_off = any(moving.search(values[name]) is not None for name, moving in route.moving if name in values)
    return Query(route=route, target=target, values=values, forwarded=forwarded, unknown=unknown, one_off=one_off)


def _opened(batch: BatchInput, values: Mapping[str, str]) -> Opened:
    try:
        return batch.open(values["input"])
    except ValueError as exc:
        raise BadQuery((Fault(parameter="input", message=str(exc)),)) from None


def _segment(parameter: Parameter, raw: str) -> str:
    try:
        canonical = parameter.kind.canonical(read_segment(raw))
    except ValueError as exc:
        raise BadQuery((Fault(parameter=parameter.name, message=str(exc)),)) from None
    return quote(canonical or "", safe=":@!$'()*,;")


def _quoted(text: str) -> str:
    """Percent-encode only what has a meaning in a query or may not stand there raw: names are full of slashes."""
    return text if _SAFE.fullmatch(text) else quote(text, safe="/:@!$'()*,;?")


def _known(route: Route, pairs: list[tuple[str, str]]) -> dict[str, str]:
    texts = dict(pairs)
    repeated = (
        {name for name, count in Counter(name for name, _ in pairs).items() if count > 1} if len(texts) < len(pairs) else ()
    )
    faults: list[Fault] = []
    canonical: dict[str, str] = {}
    for parameter in route.parameters:
        name = parameter.name
        try:
            value = _value(parameter, texts[name], repeated=name in repeated) if name in texts else _unset(parameter)
        except ValueError as exc:
            faults.append(Fault(parameter=shown(name), message=str(exc)))
        else:
            if value is not None:
                canonical[name] = value
    if faults:
        raise BadQuery(tuple(faults))
    return canonical


def _value(parameter: Parameter, text: str, *, repeated: bool) -> str | None:
    if not repeated:
        return parameter.kind.canonical(text)
    if isinstance(parameter.kind, Flag):
        return parameter.kind.canonical("an array, which is true whatever is in it")
    raise ValueError("given more than once")


def _unset(parameter: Parameter) -> str | None:
    if parameter.required:
        raise ValueError("required")
    return parameter.default
