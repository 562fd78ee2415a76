"""What a row of the read API says, and how the row of a path is found."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from proxy.core.question.batch import BatchInput
from proxy.core.question.keeping import Keeping
from proxy.core.question.parameters import Parameter
from proxy.core.question.subject import Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One row of the read API.

    `name`: a word for logs, metrics and the configuration.
    `path`: matched exactly. Where it is open, its last segment, a name in braces, stands for the parameter `segment`.
    `summary`: what `/openapi.json` says about it.
    `check`: returns how many elements the list in a body has, None where the answer is no list. It raises ValueError where the
    body does not have the documented shape; the message must hold nothing of the body.
    `fresh_s`: the freshness lifetime where the configuration names none, None for freshness.running_s. An
    empty list, or one that is shorter than the one before it, is fresh for freshness.running_s at most.
    `fresh_note`: why it is so, or what else there is to say of that lifetime: a sentence for operators.
    `max_age_s`: no older answer is served, whatever the configuration and the upstream's state.
    `keeping`: where answers may be kept.
    `subject`: what answers are about, by which a token that is limited to projects is judged.
    `refuses_by_500`: the upstream answers 500 to what it cannot find, so that a 500 needn't be a failure of the upstream.
    `batch`: reads the parameter `input`, which says all that is asked; None where the parameters say it themselves. Such a
    route's upstream wants to be told the organization.
    `names`: those of the parameters, in order; plain words. `moving`: what matches moments, by their names.
    """

    name: str
    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    check: Callable[[bytes], int | None]
    fresh_s: float | None = None
    fresh_note: str = ""
    max_age_s: float = math.inf
    keeping: Keeping = Keeping.DISK
    segment: Parameter | None = None
    subject: Subject = Subject.NAMED
    batch: BatchInput | None = None
    refuses_by_500: bool = False
    names: Mapping[str, None] = field(init=False, repr=False, compare=False)
    moving: tuple[tuple[str, re.Pattern[str]], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys(parameter.name for parameter in self.parameters)
        if not all(name.isascii() and name.isidentifier() for name in names):
            raise ValueError(f"{self.path}: the names of parameters are plain words")
        object.__setattr__(self, "names", MappingProxyType(names))
        moving = ((parameter.name, parameter.moving) for parameter in self.parameters if parameter.moving is not None)
        object.__setattr__(self, "moving", tuple(moving))
        if (self.segment is None) != ("{" not in self.path) or "{" in self.stem:
            raise ValueError(f"{self.path}: only the last segment may be open, and then needs a parameter of its own")

    @property
    def stem(self) -> str:
        """The path up to its last slash, included."""
        return self.path.rpartition("/")[0] + "/"


class RouteTable:
    """Finds the row of a raw path. Nothing is decoded or normalised: another spelling is another path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._closed = {route.path: route for route in self.routes if route.segment is None}
        self._open = {route.stem: route for route in self.routes if route.segment is not None}

    def match(self, path: str) -> tuple[Route, str] | None:
        """Return the row of a path and, where the row's path is open, the raw last segment; None where no row has this path."""
        if (route := self._closed.get(path)) is not None:
            return route, ""
        stem, slash, segment = path.rpartition("/")
        route = self._open.get(stem + slash)
        return None if route is None or not segment else (route, segment)
