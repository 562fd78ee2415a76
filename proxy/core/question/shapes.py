"""Whether a body has the shape that the upstream documents, and how many elements its list has.

Only fields that readers rely on are demanded, so that the upstream may add others. A login page, an error document with status
200 and a cut body have another shape. A body is only checked, never changed.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec

from proxy.core.lone_surrogates import read_json


# Rows cannot be part of a circle. Untracked (gc=False), thousands of them don't set off the garbage collector (up to 40 ms).
class _Row(msgspec.Struct, gc=False):
    """A row of the answer. The published schema lacks `valueFlag`; older servers quote `step`."""

    logName: str  # noqa: N815 -- the upstream's own field names
    logGroup: str  # noqa: N815 -- as above
    value: int | float
    time: str
    step: int | Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]


class _Metrics(msgspec.Struct):
    metrics: list[_Row]


class _RawRow(msgspec.Struct, gc=False):
    step: int | str
    time: str
    value: int | float


class _Raw(msgspec.Struct):
    rows: list[_RawRow]
    truncated: bool


class _Run(msgspec.Struct, gc=False):
    id: int
    name: str
    status: str


class _List(msgspec.Struct):
    runs: list[_Run]
    total: int


class _Details(_Run):
    projectName: str  # noqa: N815 -- as above
    logNames: list[msgspec.Raw]  # noqa: N815 -- as above


class _Project(msgspec.Struct):
    name: str


class _Projects(msgspec.Struct):
    projects: list[_Project]


class _Statistics(msgspec.Struct):
    metrics: list[msgspec.Raw]


class _Runs(msgspec.Struct):
    runs: list[msgspec.Raw]


class _MetricNames(msgspec.Struct):
    metricNames: list[str]  # noqa: N815 -- as above


class _Logs(msgspec.Struct):
    logs: list[msgspec.Raw]
    total: int | str


class _Files(msgspec.Struct):
    files: list[msgspec.Raw]


class _History(msgspec.Struct):
    events: list[msgspec.Raw]


class _Buckets(msgspec.Struct, gc=False):
    """A run's buckets of one metric, a column each. Nobody here reads what is in them."""

    steps: msgspec.Raw
    times: msgspec.Raw
    values: msgspec.Raw
    minYs: msgspec.Raw  # noqa: N815 -- as above
    maxYs: msgspec.Raw  # noqa: N815 -- as above
    counts: msgspec.Raw
    nfFlags: msgspec.Raw  # noqa: N815 -- as above


_batch = msgspec.json.Decoder(dict[str, dict[str, _Buckets]])
_COLUMNS = _Buckets.__struct_fields__


Check = Callable[[bytes], int | None]
T = TypeVar("T")


def _read(decoder: "msgspec.json.Decoder[T]", body: bytes) -> T:
    """Return what a decoder makes of a body. Raises ValueError unless that is UTF-8 JSON of its shape."""
    try:
        said = read_json(decoder, body)
        if not body.isascii():
            body.decode()  # the decoder reads only the fields that it knows
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        # The library's message names the place and the type; it quotes nothing of the body.
        raise ValueError(str(exc)) from None
    return said


def _checking(shape: type[msgspec.Struct], listed: str | None = None) -> Check:
    """Return a function that raises ValueError unless a body is UTF-8 JSON of this shape.

    The function returns how many elements the field `listed` has, None where no field is named.
    """
    decoder = msgspec.json.Decoder(shape)

    def check(body: bytes) -> int | None:
        said = _read(decoder, body)
        return None if listed is None else len(getattr(said, listed))

    return check


check_metrics = _checking(_Metrics, "metrics")
check_list = _checking(_List, "runs")
check_projects = _checking(_Projects, "projects")
check_details = _checking(_Details)
check_raw = _checking(_Raw, "rows")
check_statistics = _checking(_Statistics, "metrics")
check_runs = _checking(_Runs, "runs")
check_metric_names = _checking(_MetricNames, "metricNames")
check_logs = _checking(_Logs, "logs")
check_files = _checking(_Files, "files")
check_history = _checking(_History, "events")


def check_batch(body: bytes) -> int:
    """Return how many series an answer has, one for each metric and run. Raises ValueError as the other checks do."""
    series = [buckets for runs in _read(_batch, body).values() for buckets in runs.values()]
    if any(not bytes(getattr(buckets, column)).startswith(b"[") for buckets in series for column in _COLUMNS):
        raise ValueError("a column of buckets is no array")
    return len(series)
