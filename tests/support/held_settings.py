"""What the parts of a proxy hold: every plain value that can be reached from them, by the way that leads there."""

from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from pydantic import BaseModel

# What isn't a part: it holds no settings, or leads out of the proxy.
_OPAQUE = (type, ModuleType, FunctionType, BuiltinFunctionType, BaseModel)
_PLAIN = (bool, int, float, str, bytes, PurePath, type(None))


def held(root: object) -> dict[str, object]:
    """Return the plain values. An object that several ways lead to is gone through once."""
    found: dict[str, object] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, object]] = deque([("", root)])
    while waiting:
        place, value = waiting.popleft()
        if isinstance(value, MethodType):
            value = value.__self__
        if isinstance(value, _PLAIN):
            found[place] = value
        elif id(value) not in seen and not isinstance(value, _OPAQUE):
            seen.add(id(value))
            waiting.extend((f"{place}{step}", part) for step, part in _parts_of(value))
    return found


def _parts_of(value: Any) -> Iterator[tuple[str, object]]:
    module = type(value).__module__
    if module.partition(".")[0] in {"proxy", "cachetools"}:
        names = dict.fromkeys(name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ()))
        names |= dict.fromkeys(getattr(value, "__dict__", ()))
        yield from ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))
    if isinstance(value, Mapping):
        yield from ((f"[{key!r:.40}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | deque | set | frozenset):
        yield from ((f"[{number}]", part) for number, part in enumerate(value))
