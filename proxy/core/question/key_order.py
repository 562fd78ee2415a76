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
    """The bytes of a member of an object: its key with the colon, and its value."""

    key: bytes
    value: bytes


def in_asked_order(body: bytes, order: AskedOrder) -> Work[bytes]:
    """Return an answer with its keys in the order asked. The body has passed the route's check."""
    metrics = _members(body)
    arranged: dict[str, bytes] = {}
    for name, (key, value) in metrics.items():
        runs = _members(value)
        in_order = _arranged(runs, order.sent_runs, order.runs)
        arranged[name] = key + (_object_of(b"".join(runs[run]) for run in in_order) if in_order else value)
        yield None
    in_order = _arranged(metrics, order.sent_names, order.names)
    if not in_order:
        return body
    return _object_of(arranged[name] for name in in_order)


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


def _members(text: bytes) -> dict[str, _Member]:
    """Return the members of an object, in their order; none where they can't be cut at commas without white space."""
    readable = without_surrogates(text)
    members: dict[str, _Member] = {}
    at = 1
    for name, raw in _object.decode(readable).items():
        key, value = _KEY.match(readable, at), bytes(raw)
        if key is None or not readable.startswith(value, key.end()):
            return {}
        end = key.end() + len(value)
        members[name] = _Member(text[at : key.end()], text[key.end() : end])
        at = end + 1
    # An object with a key twice has more than its members here.
    return members if at == len(text) else {}


def _object_of(members: Iterable[bytes]) -> bytes:
    return b"{" + b",".join(members) + b"}"
