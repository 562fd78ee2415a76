"""What is asked, of whom, and what is promised."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.freshness.entry import Coding
from tests.bench.bodies import LARGE, SMALL
from tests.bench.contestants import NGINX, PROXY, Case, Contestant
from tests.bench.cpu.files import CADDY, FLOOR, NGINX_FILES
from tests.bench.cpu.load import Reader

_READ_BY_PYTHON = {Reader.KEPT: "read by Python into the same memory", Reader.NEW: "read by Python into new memory"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """A case, and how many times the proxy's CPU a request that of others is at least.

    `readers`: who else reads the proxy's answers, beside the leanest.
    """

    case: Case
    least: Mapping[str, float]
    readers: tuple[Reader, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """Who is measured: a server, and who asks it."""

    name: str
    contestant: Contestant
    reader: Reader


def _small(connections: int, least: float) -> Promised:
    return Promised(case=Case(points=SMALL, coding=Coding.IDENTITY, connections=connections), least={NGINX: least})


CASES = (
    _small(16, 1.8),
    _small(64, 1.8),
    _small(1, 1.3),
    Promised(case=Case(points=SMALL, coding=Coding.IDENTITY, not_modified=True), least={NGINX: 2.0}),
    Promised(case=Case(points=SMALL, coding=Coding.GZIP), least={NGINX: 1.4}),
    Promised(case=Case(points=LARGE, coding=Coding.GZIP), least={NGINX: 1.4}),
    Promised(
        case=Case(points=LARGE, coding=Coding.IDENTITY),
        least={NGINX: 1.0, NGINX_FILES: 1.0},
        readers=(Reader.KEPT, Reader.NEW),
    ),
)


def entrants(promised: Promised, contestants: list[Contestant], leanest: Reader) -> list[Entrant]:
    """Return who is measured in a case, in this order."""
    found = [
        Entrant(name=each.name, contestant=each, reader=leanest) for each in contestants if _takes(each.name, promised.case)
    ]
    for reader in promised.readers:
        found += [
            Entrant(name=f"{each.name}, {_READ_BY_PYTHON[reader]}", contestant=each, reader=reader)
            for each in contestants
            if each.name == PROXY
        ]
    return found


def _takes(name: str, case: Case) -> bool:
    """Whether a server has the answer of a case, and it says something."""
    plain = case.coding is Coding.IDENTITY
    return {
        "Varnish": not case.not_modified,
        FLOOR: plain,
        CADDY: plain and not case.not_modified,
        NGINX_FILES: plain and case.points == LARGE,
    }.get(name, True)
