"""The keys of an answer put in the order that a client asked: the body's bytes are cut and joined, and nothing is written anew.

The answer is an object of objects: for each metric, the runs. JavaScript lists keys that are array indices first, upwards, and
the others in the order in which they came. Whether the keys follow the question shows by the order in which the upstream was
asked (`core.question.batch`). An answer whose upstream has an order of its own stays as it is, and so does one that isn't laid
out as JSON.stringify does it.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from proxy.core.lone_surrogates import without_surrogates
from proxy.core.pieces import Work
from proxy.core.question.batch import AskedOrder

_KEY = re.compile(rb'"(?:[^"\\]|\\.)*":', re.DOTALL)
# Digits without leading zeros, up to 2^32 - 2 (ECMA-262 section 6.1.7).
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MOST_INDEX = 2**32 - 2
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Member(NamedTuple):
    """Where a member of an object begins, where its value does, and where that ends."""

    begin: int
    value: int
    end: int


def in_asked_order(body: bytes, order: AskedOrder) -> Work[bytes]:
    """Return an answer with its keys in the order asked. The body has passed the route's check."""
    readable = without_surrogates(body)
    metrics = _members(readable, 0, len(readable))
    arranged: dict[str, list[bytes]] = {}
    for name, metric in metrics.items():
        runs = _members(readable, metric.value, metric.end)
        value = [body[metric.value : metric.end]]
        if runs:
            in_order = _arranged(runs, order.sent_runs, order.runs)
            value = _object_of([[body[runs[run].begin : runs[run].end]] for run in in_order])
        arranged[name] = [body[metric.begin : metric.value], *value]
        yield None
    if not metrics:
        return body
    return (yield _object_of([arranged[name] for name in _arranged(metrics, order.sent_names, order.names)]))


def _arranged(names: Iterable[str], sent: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Return the keys of an object in the order asked; in their own where that isn't the order in which they were sent."""
    present = dict.fromkeys(names)
    follows = list(present) == [name for name in _as_listed(sent) if name in present]
    return [name for name in _as_listed(asked) if name in present] if follows else list(present)


def _as_listed(names: Sequence[str]) -> list[str]:
    """Return keys in the order in which JavaScript lists those of an object that got them in the given order."""
    keys = dict.fromkeys(names)
    indices = [key for key in keys if _INDEX.fullmatch(key) and int(key) <= _MOST_INDEX]
    return [*sorted(indices, key=int), *(key for key in keys if key not in set(indices))]


def _members(text: bytes, begin: int, end: int) -> dict[str, _Member]:
    """Return the members of the object in a part of a text, in their order.

    None are returned where they can't be cut at commas without white space.
    """
    members: dict[str, _Member] = {}
    at = begin + 1
    for name, value in _object.decode(memoryview(text)[begin:end]).items():
        key = _KEY.match(text, at)
        if key is None:
            return {}
        members[name] = _Member(at, key.end(), key.end() + memoryview(value).nbytes)
        at = members[name].end + 1
        if text[at - 1 : at] not in {b",", b"}"}:
            return {}
    # An object with a key twice has more than its members here.
    return members if at == end else {}


def _object_of(members: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return the parts of an object, made of those of its members."""
    parts = [b"{"]
    for number, member in enumerate(members):
        parts += [*([b","] if number else []), *member]
    return [*parts, b"}"]
