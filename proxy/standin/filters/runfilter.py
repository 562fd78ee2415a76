"""The `filter` of `list`: a query in the manner of MongoDB, to the ids of the runs that it selects.

As upstream, each condition selects from the runs in scope, and the sets are combined: an empty `$and` selects nothing.
"""

from collections.abc import Sequence
from functools import reduce

from proxy.standin.filters.conditions import Scope, leaf
from proxy.standin.problem import Problem
from proxy.standin.runs import Run


def select(node: object, scope: Scope) -> set[int]:
    """The ids that a parsed filter selects. Raises Problem (400) in the upstream's words for one it doesn't take."""
    if not isinstance(node, dict):
        raise Problem.told("filter must be an object")
    if len(node) != 1:
        return _intersection([select({key: value}, scope) for key, value in node.items()]) if node else scope.where(_any)
    ((key, value),) = node.items()
    if key in ("$and", "$or"):
        if not isinstance(value, list):
            raise Problem.told(f"{key} expects an array")
        sets = [select(child, scope) for child in value]
        return _intersection(sets) if key == "$and" else set().union(*sets)
    if key == "$not":
        return scope.where(_any) - select(value, scope)
    if key.startswith("$"):
        raise Problem.told(f"unknown boolean operator: {key}")
    return leaf(key, value, scope)


def _any(_run: Run) -> bool:
    return True


def _intersection(sets: Sequence[set[int]]) -> set[int]:
    return reduce(set.intersection, sets) if sets else set()
