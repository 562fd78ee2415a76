"""What a route is given: the request's parts, and the stand-in's."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from proxy.standin import querystring, sqids
from proxy.standin.answers import Answer
from proxy.standin.auth import Key, Keys
from proxy.standin.catalogue import Catalogue
from proxy.standin.config import KeyOrder, StepMode
from proxy.standin.rows import Rows
from proxy.standin.schema import Reader
from proxy.standin.storage import Storage

# What `encodeURIComponent` leaves as it is, beside letters and digits.
_UNESCAPED = "-_.!~*'()"


class Upstream(Protocol):
    """What the routes read."""

    mode: StepMode
    key_order: KeyOrder
    keys: Keys
    rows: Rows
    catalogue: Catalogue
    storage: Storage
    clock: Callable[[], float]
    web_url: str

    def materialise(self) -> None:
        """Bring the rows up to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request's parts: the raw path, the raw query (empty without a `?`), the headers that matter.

    `segment` is the raw part of the path that stands for a run, empty for paths without one.
    """

    path: str
    query: str
    authorization: str | None
    host: str = ""
    segment: str = ""

    def reader(self) -> Reader:
        """Its parameters, to be read one after another."""
        return Reader(querystring.decode(self.query))


Route = Callable[[Upstream, Asked, Key], Answer]


def iso_time(wall_s: float) -> str:
    """`Date.prototype.toISOString`."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def row_time(wall_s: float) -> str:
    """A time as ClickHouse prints it: milliseconds, no zone."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")


def project_url(upstream: Upstream, key: Key, project: str) -> str:
    """The web application's page of a project; its name is escaped by `encodeURIComponent`."""
    return f"{upstream.web_url}/o/{key.organization.slug}/projects/{quote(project, safe=_UNESCAPED)}"


def run_url(upstream: Upstream, key: Key, project: str, run_id: int) -> str:
    """The web application's page of a run."""
    return f"{project_url(upstream, key, project)}/{sqids.encode(run_id)}"


def large(upstream: Upstream, number: int) -> int | str:
    """A 64-bit integer that the upstream hands on as its ClickHouse prints it: a number, or a quoted string."""
    return str(number) if upstream.mode is StepMode.QUOTED else number
